#include "node/notice_listener.h"

#include <algorithm>
#include <cstring>

#include "node/args.h"
#include "node/exceptions.h"

namespace sip_async::node {

namespace {

using core::NoticeData;

// nullptr in an environment that is ending, or that has no memory left.
napi_value make_value(napi_env env, const NoticeData& data) {
  napi_value out = nullptr;
  switch (data.form) {
    case NoticeData::Form::kUndefined:
      napi_get_undefined(env, &out);
      return out;
    case NoticeData::Form::kNull:
      return make_null(env);
    case NoticeData::Form::kFalse:
    case NoticeData::Form::kTrue:
      return make_bool(env, data.form == NoticeData::Form::kTrue);
    case NoticeData::Form::kNumber:
      return make_double(env, data.number);
    case NoticeData::Form::kLatin1:
      napi_create_string_latin1(env, data.bytes.data(), data.bytes.size(), &out);
      return out;
    case NoticeData::Form::kUtf16:
      napi_create_string_utf16(env, reinterpret_cast<const char16_t*>(data.bytes.data()),
                               data.bytes.size() / 2, &out);
      return out;
    case NoticeData::Form::kBytes:
    case NoticeData::Form::kPacked: {
      void* copy = nullptr;
      napi_value buffer = nullptr;
      if (napi_create_arraybuffer(env, data.bytes.size(), &copy, &buffer) != napi_ok) return nullptr;
      if (!data.bytes.empty()) memcpy(copy, data.bytes.data(), data.bytes.size());
      napi_create_typedarray(env, napi_uint8_array, data.bytes.size(), buffer, 0, &out);
      return out;
    }
  }
  return nullptr;
}

}  // namespace

bool NoticeListener::open(napi_env env, napi_value on_notice) {
  env_ = env;
  const LoopWake::Woken woken = {.from_poll = on_woken, .from_function = on_wake};
  if (!loop_wake_.start(env, "sip-async.notices", on_notice, woken, this, shared_from_this())) return false;
  loop_wake_.ref(env, false);
  napi_value name;
  napi_create_string_utf8(env, "sip-async.notices", NAPI_AUTO_LENGTH, &name);
  napi_create_reference(env, on_notice, 1, &on_notice_);
  napi_async_init(env, nullptr, name, &async_context_);
  napi_add_env_cleanup_hook(env, on_environment_end, this);
  return true;
}

void NoticeListener::on_environment_end(void* self) {
  static_cast<NoticeListener*>(self)->close();
}

// References and the context go with the environment.
void NoticeListener::close() {
  board().forget_all(*this);
  end();
  loop_wake_.stop();
}

void NoticeListener::on_wake(napi_env env, napi_value callback, void* context, void*) {
  if (env == nullptr) return;  // the environment is going down; the clean-up hook has done the rest
  static_cast<NoticeListener*>(context)->deliver(callback);
}

void NoticeListener::on_woken(void* context) {
  auto* self = static_cast<NoticeListener*>(context);
  self->loop_wake_.clear();
  napi_handle_scope scope;
  if (napi_open_handle_scope(self->env_, &scope) != napi_ok) return;
  napi_value callback = nullptr;
  napi_value resource = nullptr;
  napi_get_reference_value(self->env_, self->on_notice_, &callback);
  napi_get_global(self->env_, &resource);
  for (uint32_t turn = 1;; ++turn) {
    self->waited_briefly_ = core::now_ns() - self->empty_since_ns_ < LoopWake::kBriefNs;
    // One for the whole turn: all are told before any of them goes on.
    napi_callback_scope callback_scope = nullptr;
    if (napi_open_callback_scope(self->env_, resource, self->async_context_, &callback_scope) != napi_ok)
      break;
    self->deliver(callback);
    napi_close_callback_scope(self->env_, callback_scope);
    self->empty_since_ns_ = core::now_ns();
    // What a lookout has found wakes nobody, and is told here.
    if (turn == kTurnsPerWake || !self->look_out_for_more()) break;
  }
  napi_close_handle_scope(self->env_, scope);
}

bool NoticeListener::look_out_for_more() {
  const auto has_other_work = [this] { return !loop_wake_.loop_would_sleep(); };
  return waited_briefly_ && waits() && look_out(LoopWake::kLookOutNs, has_other_work);
}

void NoticeListener::deliver(napi_value on_notice) {
  napi_value receiver = nullptr;
  napi_get_global(env_, &receiver);
  for (const core::Notice& notice : take()) {
    napi_handle_scope scope;
    if (napi_open_handle_scope(env_, &scope) != napi_ok) return;
    napi_value args[] = {make_double(env_, static_cast<double>(notice.ticket)),
                         make_value(env_, *notice.data),
                         make_bool(env_, notice.data->form == NoticeData::Form::kPacked)};
    if (args[0] != nullptr && args[1] != nullptr)
      napi_call_function(env_, receiver, on_notice, std::size(args), args, nullptr);
    // A copy for which there is no memory, say. In an environment that is ending nothing can be called, and nobody is left to hear.
    surface_exception(env_);
    napi_close_handle_scope(env_, scope);
  }
}

}  // namespace sip_async::node
