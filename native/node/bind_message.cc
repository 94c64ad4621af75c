// Reading a message. The bytes are copied out before a JavaScript value is made of them: making one may collect garbage,
// which must not happen under a bucket's lock.
#include <algorithm>
#include <cstring>

#include "node/args.h"
#include "node/environment.h"
#include "node/message_fields.h"
#include "sip/guard.h"

namespace sip_async::node {

namespace {

using sip::MessageIndex;
using sip::Slice;
using sip::StoredMessage;

// Copies a value with its folds joined (RFC 3261 section 7.3.1): a line end and the white space around it is one space.
size_t copy_unfolded(std::string_view value, char* out) {
  if (memchr(value.data(), '\n', value.size()) == nullptr) {
    memcpy(out, value.data(), value.size());
    return value.size();
  }
  size_t written = 0;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] != '\r' && value[i] != '\n') {
      out[written++] = value[i];
      continue;
    }
    while (written > 0 && (out[written - 1] == ' ' || out[written - 1] == '\t')) --written;
    while (i + 1 < value.size() && strchr("\r\n\t ", value[i + 1]) != nullptr) ++i;
    out[written++] = ' ';
  }
  return written;
}

const Slice* slice_of(const MessageIndex& index, Field field) {
  switch (field) {
    case Field::kMethod:
      return &index.method_name;
    case Field::kRuri:
      return &index.ruri;
    case Field::kCallId:
      return &index.call_id;
    case Field::kFromUri:
      return &index.from.uri;
    case Field::kFromUser:
      return &index.from.user;
    case Field::kFromTag:
      return &index.from.tag;
    case Field::kToUri:
      return &index.to.uri;
    case Field::kToUser:
      return &index.to.user;
    case Field::kToTag:
      return &index.to.tag;
    case Field::kContact:
      return &index.contact;
    case Field::kUserAgent:
      return &index.user_agent;
    case Field::kBody:
      return &index.body;
    case Field::kCseqMethod:
      return &index.method_name;
    case Field::kReason:
      return &index.reason;
    case Field::kSrcIp:
      return nullptr;
  }
  return nullptr;
}

// Fields that are not there read as null; a body that is empty reads as an empty string.
bool null_when_empty(Field field) {
  return field != Field::kBody;
}

template <size_t Count, class Read>
bool read(napi_env env, const Args<Count>& args, Read&& read_request) {
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return false;
  return channel->transactions().with_request(task_of(args), args.u32(3) != 0, read_request);
}

napi_value message_string(napi_env env, napi_callback_info info) {
  const Args<5> args(env, info);
  const auto field = static_cast<Field>(args.u32(4));
  char* out = sip::scratch_buffer();
  size_t size = 0;
  bool there = false;
  read(env, args, [&](const StoredMessage& request) {
    if (field == Field::kSrcIp) {
      size = request.from.address.write_host(out);
      there = true;
      return;
    }
    const Slice* slice = slice_of(request.index, field);
    if (slice == nullptr || (slice->empty() && null_when_empty(field))) return;
    const std::string_view value = slice->of(request.data());
    if (field == Field::kBody) {
      memcpy(out, value.data(), value.size());
      size = value.size();
    } else {
      size = copy_unfolded(value, out);
    }
    there = true;
  });
  return there ? make_text(env, {out, size}) : make_null(env);
}

napi_value message_number(napi_env env, napi_callback_info info) {
  const Args<5> args(env, info);
  double value = 0;
  const bool there = read(env, args, [&](const StoredMessage& request) {
    switch (static_cast<Number>(args.u32(4))) {
      case Number::kCseq:
        value = request.index.cseq_number;
        break;
      case Number::kSrcPort:
        value = request.from.address.port;
        break;
      case Number::kMaxForwards:
        value = request.index.max_forwards;
        break;
      case Number::kEnd:
        value = request.index.body.offset + request.index.body.length;
        break;
      case Number::kTransport:
        value = static_cast<double>(request.from.transport);
        break;
    }
  });
  if (!there) return make_null(env);
  napi_value out;
  napi_create_double(env, value, &out);
  return out;
}

napi_value message_header(napi_env env, napi_callback_info info) {
  const Args<6> args(env, info);
  char name_buffer[128];
  const std::string_view name = args.text(4, name_buffer, sizeof name_buffer);
  uint32_t skip = args.u32(5);
  char* out = sip::scratch_buffer();
  size_t size = 0;
  bool there = false;
  read(env, args, [&](const StoredMessage& request) {
    sip::HeaderLine line;
    for (uint16_t at = request.index.headers_at; sip::next_header(request.data(), request.size, at, line);
         at = line.end) {
      if (!sip::header_name_equals(line.name.of(request.data()), name) || skip-- != 0) continue;
      size = copy_unfolded(line.value.of(request.data()), out);
      there = true;
      return;
    }
  });
  return there ? make_text(env, {out, size}) : make_null(env);
}

napi_value message_raw(napi_env env, napi_callback_info info) {
  const Args<4> args(env, info);
  char* out = sip::scratch_buffer();
  size_t size = 0;
  const bool there = read(env, args, [&](const StoredMessage& request) {
    size = std::min(size_t{request.size}, sip::kScratchBytes);
    memcpy(out, request.data(), size);
  });
  if (!there) return make_null(env);
  napi_value buffer;
  napi_create_buffer_copy(env, size, out, nullptr, &buffer);
  return buffer;
}

napi_value message_is_tame(napi_env env, napi_callback_info info) {
  const Args<4> args(env, info);
  char* out = sip::scratch_buffer();
  MessageIndex index;
  size_t size = 0;
  // Copied first: the guard looks at every byte, too long for a lock.
  const bool there = read(env, args, [&](const StoredMessage& request) {
    index = request.index;
    size = std::min(size_t{request.size}, sip::kScratchBytes);
    memcpy(out, request.data(), size);
  });
  return make_bool(env, there && sip::guard_message(out, size, index) == sip::IndexStatus::kOk);
}

napi_value message_is_current(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  Channel* channel = channel_of(env, args);
  return make_bool(env, channel != nullptr && channel->transactions().is_current(task_of(args)));
}

}  // namespace

const std::vector<Export> kMessageExports = {
    {"messageString", message_string},  {"messageNumber", message_number},
    {"messageHeader", message_header},  {"messageRaw", message_raw},
    {"messageIsTame", message_is_tame}, {"messageIsCurrent", message_is_current},
};

}  // namespace sip_async::node
