// Reading arguments. TypeScript has checked them; what does not have the expected type reads as zero or empty.
#pragma once

#include <node_api.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace sip_async::node {

template <size_t Count>
class Args {
 public:
  Args(napi_env env, napi_callback_info info) : env_(env) {
    size_t count = Count;
    napi_get_cb_info(env, info, &count, values_, nullptr, nullptr);
  }
  uint32_t u32(size_t i) const {
    uint32_t out = 0;
    napi_get_value_uint32(env_, values_[i], &out);
    return out;
  }
  int32_t i32(size_t i) const {
    int32_t out = 0;
    napi_get_value_int32(env_, values_[i], &out);
    return out;
  }
  double number(size_t i) const {
    double out = 0;
    napi_get_value_double(env_, values_[i], &out);
    return out;
  }
  bool boolean(size_t i) const {
    bool out = false;
    napi_get_value_bool(env_, values_[i], &out);
    return out;
  }
  std::string text(size_t i) const {
    size_t length = 0;
    if (napi_get_value_string_utf8(env_, values_[i], nullptr, 0, &length) != napi_ok) return {};
    std::string out(length, '\0');
    napi_get_value_string_utf8(env_, values_[i], out.data(), length + 1, &length);
    return out;
  }
  // Into a buffer of the caller's; a longer text is cut at a character.
  std::string_view text(size_t i, char* buffer, size_t capacity) const {
    size_t length = 0;
    if (napi_get_value_string_utf8(env_, values_[i], buffer, capacity, &length) != napi_ok) length = 0;
    return {buffer, length};
  }
  napi_value operator[](size_t i) const { return values_[i]; }

 private:
  napi_env env_;
  napi_value values_[Count] = {};
};

inline napi_value make_u32(napi_env env, uint32_t value) {
  napi_value out;
  napi_create_uint32(env, value, &out);
  return out;
}
inline napi_value make_i32(napi_env env, int32_t value) {
  napi_value out;
  napi_create_int32(env, value, &out);
  return out;
}
inline napi_value make_double(napi_env env, double value) {
  napi_value out;
  napi_create_double(env, value, &out);
  return out;
}
template <class Status>
napi_value make_status(napi_env env, Status status) {
  return make_i32(env, static_cast<int32_t>(status));
}
inline napi_value make_bool(napi_env env, bool value) {
  napi_value out;
  napi_get_boolean(env, value, &out);
  return out;
}
inline napi_value make_null(napi_env env) {
  napi_value out;
  napi_get_null(env, &out);
  return out;
}
inline napi_value make_text(napi_env env, std::string_view text) {
  napi_value out;
  napi_create_string_utf8(env, text.data(), text.size(), &out);
  return out;
}

}  // namespace sip_async::node
