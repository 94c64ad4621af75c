// Notices: telling the other threads of the process what was raised.
#include <algorithm>

#include "node/args.h"
#include "node/environment.h"
#include "node/text.h"

namespace sip_async::node {

namespace {

using core::NoticeBoard;
using core::NoticeData;

void read_text(std::u16string_view units, NoticeData& out) {
  // A string that has no need of two bytes a character is one that V8 keeps in one.
  if (std::all_of(units.begin(), units.end(), [](char16_t unit) { return unit < 0x100; })) {
    out.form = NoticeData::Form::kLatin1;
    out.bytes.resize(units.size());
    std::transform(units.begin(), units.end(), out.bytes.begin(),
                   [](char16_t unit) { return static_cast<char>(unit); });
  } else {
    out.form = NoticeData::Form::kUtf16;
    out.bytes.assign(reinterpret_cast<const char*>(units.data()), units.size() * sizeof(char16_t));
  }
}

NoticeData read_data(napi_env env, napi_value value, bool is_packed) {
  NoticeData out;
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  if (type == napi_null) {
    out.form = NoticeData::Form::kNull;
  } else if (type == napi_boolean) {
    bool boolean = false;
    napi_get_value_bool(env, value, &boolean);
    out.form = boolean ? NoticeData::Form::kTrue : NoticeData::Form::kFalse;
  } else if (type == napi_number) {
    out.form = NoticeData::Form::kNumber;
    napi_get_value_double(env, value, &out.number);
  } else if (type == napi_string) {
    read_text(Utf16(env, value).view(), out);
  } else if (type == napi_object) {
    void* data = nullptr;
    size_t length = 0;
    if (napi_get_typedarray_info(env, value, nullptr, &length, &data, nullptr, nullptr) != napi_ok)
      return out;
    out.form = is_packed ? NoticeData::Form::kPacked : NoticeData::Form::kBytes;
    out.bytes.assign(static_cast<const char*>(data), length);
  }
  return out;
}

napi_value make_ticket(napi_env env, uint64_t ticket) {
  return make_double(env, static_cast<double>(ticket));
}

napi_value listen(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  auto listener = std::make_shared<NoticeListener>();
  if (!listener->open(env, args[0])) {
    napi_throw_error(env, "SIPASYNC_ERR_ADDON", "Node refused a thread-safe function");
    return nullptr;
  }
  return make_u32(env, Environment::of(env).add(std::move(listener)));
}

napi_value await(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  const auto listener = Environment::of(env).listener(args.u32(0));
  if (listener == nullptr) return make_ticket(env, NoticeBoard::kNoTicket);
  return make_ticket(env, NoticeListener::board().await(Utf16(env, args[1]).view(), listener));
}

napi_value forget(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  NoticeListener::board().forget(Utf16(env, args[0]).view(), static_cast<uint64_t>(args.number(1)));
  return nullptr;
}

napi_value raise(napi_env env, napi_callback_info info) {
  const Args<4> args(env, info);
  const auto own = Environment::of(env).listener(args.u32(0));
  std::vector<NoticeBoard::Ticket> others;
  const uint64_t own_ticket = NoticeListener::board().take(Utf16(env, args[1]).view(), own.get(), others);
  if (!others.empty()) {
    const auto data = std::make_shared<const NoticeData>(read_data(env, args[2], args.boolean(3)));
    for (const NoticeBoard::Ticket& other : others) NoticeBoard::tell(other, data);
  }
  return make_ticket(env, own_ticket);
}

}  // namespace

const std::vector<Export> kNoticeExports = {
    {"noticeListen", listen},
    {"noticeAwait", await},
    {"noticeForget", forget},
    {"noticeRaise", raise},
};

}  // namespace sip_async::node
