// Bytes and arrays of numbers that JavaScript hands over.
#pragma once

#include <node_api.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace sip_async::node {

// The bytes of a string or of a typed array; a typed array's stay where they are. Null and undefined are none. A string of
// more than `most_text_bytes` is not copied, only marked.
struct Bytes {
  Bytes(napi_env env, napi_value value, size_t most_text_bytes = SIZE_MAX) {
    napi_valuetype type;
    if (napi_typeof(env, value, &type) != napi_ok || type == napi_null || type == napi_undefined) return;
    is_there = true;
    size_t length = 0;
    if (type == napi_string) {
      is_text = true;
      napi_get_value_string_utf8(env, value, nullptr, 0, &length);
      is_too_long = length > most_text_bytes;
      if (is_too_long) return;
      text.resize(length);
      napi_get_value_string_utf8(env, value, text.data(), length + 1, &length);
      view = text;
      return;
    }
    napi_typedarray_type array_type;
    void* data = nullptr;
    if (napi_get_typedarray_info(env, value, &array_type, &length, &data, nullptr, nullptr) == napi_ok)
      view = {static_cast<const char*>(data), length};
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

  std::string text;
  std::string_view view;
  bool is_there = false;
  bool is_text = false;
  bool is_too_long = false;
};

// The numbers of a Uint32Array; nullptr when there are fewer than `words`.
inline uint32_t* words_of(napi_env env, napi_value array, size_t words) {
  napi_typedarray_type type;
  size_t length = 0;
  void* at = nullptr;
  if (napi_get_typedarray_info(env, array, &type, &length, &at, nullptr, nullptr) != napi_ok ||
      type != napi_uint32_array || length < words) {
    return nullptr;
  }
  return static_cast<uint32_t*>(at);
}

// Writes two numbers, a handle say, into the caller's array.
inline void put_pair(napi_env env, napi_value array, uint32_t first, uint32_t second) {
  if (uint32_t* words = words_of(env, array, 2)) {
    words[0] = first;
    words[1] = second;
  }
}

}  // namespace sip_async::node
