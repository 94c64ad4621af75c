// A string that JavaScript hands over.
#pragma once

#include <node_api.h>

#include <string>
#include <string_view>
#include <type_traits>

namespace sip_async::node {

// Unit char: as UTF-8. Unit char16_t: its code units, so that no two texts read as one. Up to about kUnits of them are read with
// one call and without an allocation.
template <class Unit, size_t kUnits>
class Text {
 public:
  Text(napi_env env, napi_value value) {
    size_t length = 0;
    if (read(env, value, buffer_, kUnits, &length) != napi_ok) length = 0;
    view_ = {buffer_, length};
    // Cut texts end at a character, which has up to four units, and with a zero.
    if (length + 5 <= kUnits) return;
    read(env, value, nullptr, 0, &length);
    long_.resize(length);
    read(env, value, long_.data(), length + 1, &length);
    view_ = long_;
  }
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;

  std::basic_string_view<Unit> view() const { return view_; }

 private:
  static napi_status read(napi_env env, napi_value value, Unit* out, size_t units, size_t* length) {
    if constexpr (std::is_same_v<Unit, char>) {
      return napi_get_value_string_utf8(env, value, out, units, length);
    } else {
      return napi_get_value_string_utf16(env, value, out, units, length);
    }
  }

  Unit buffer_[kUnits];
  std::basic_string<Unit> long_;
  std::basic_string_view<Unit> view_;
};

using Utf8 = Text<char, 512>;
using Utf16 = Text<char16_t, 256>;

}  // namespace sip_async::node
