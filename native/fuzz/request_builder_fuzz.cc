// libFuzzer entry for what a proxy sends on. The input is a byte of wishes, then a Request-URI, a destination and header
// names as a script might give them, and a message. Of a message without a fault, whatever is built is a message without
// one; of any other, nothing is read or written outside. Built with SIP_ASYNC_FUZZ_STANDALONE it replays the files that
// are named as arguments.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

#include "sip/loop_check.h"
#include "sip/request_builder.h"
#include "sip/route_set.h"

namespace {

using namespace sip_async::sip;

constexpr std::string_view kSeparator = "\xff\xfe\n";
constexpr size_t kRoom = 1 << 18;
// As wide as an index goes: a line may grow by what is added to it.
constexpr IndexLimits kWide = {
    .max_message_bytes = kMaxMessageBytes, .max_headers = 65535, .max_line_bytes = 65535};

void require(bool holds) {
  if (!holds) __builtin_trap();
}

// Copies of their own, so that a read behind an end is seen.
using Bytes = std::vector<char>;

std::string_view view(const Bytes& bytes) {
  return {bytes.data(), bytes.size()};
}

Bytes take_field(std::string_view& input) {
  const size_t at = input.find(kSeparator);
  const std::string_view field = input.substr(0, at);
  input.remove_prefix(at == std::string_view::npos ? input.size() : at + kSeparator.size());
  return {field.begin(), field.end()};
}

// What build(out, capacity) writes. It is the same where just that fits, and nothing where a byte is missing.
template <class Build>
Bytes built(Build build) {
  static Bytes room(kRoom);
  const size_t size = build(room.data(), room.size());
  Bytes out(room.begin(), room.begin() + static_cast<ptrdiff_t>(size));
  if (out.empty()) return out;
  Bytes exact(out.size());
  require(build(exact.data(), exact.size()) == out.size() && exact == out);
  Bytes tight(out.size() - 1);
  require(build(tight.data(), tight.size()) == 0);
  return out;
}

// The index of what was built; false when it has grown over what a message may have.
bool read_again(const Bytes& bytes, MessageIndex& index) {
  if (bytes.size() > kMaxMessageBytes) return false;
  index_message(bytes.data(), bytes.size(), kWide, index);
  return true;
}

void forward(const Bytes& message, const MessageIndex& index, const MessageEdits& edits,
             const RoutePlan* route) {
  ForwardParts parts;
  parts.data = message.data();
  parts.size = message.size();
  parts.index = &index;
  require(Address::parse("2001:db8::5", 5082, parts.from.address));
  parts.via = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKours";
  parts.record_routes = "Record-Route: <sip:192.0.2.1;lr>\r\n";
  parts.route = route;
  parts.edits = edits;
  const Bytes out = built([&](char* to, size_t capacity) { return build_request(parts, to, capacity); });
  MessageIndex went;
  if (index.status != IndexStatus::kOk || !index.is_request || index.max_forwards == 0) return;
  // Only a URI of the script's can be the reason.
  if (out.empty()) return require(route != nullptr);
  if (!read_again(out, went)) return;
  require(went.status == IndexStatus::kOk);
  require(went.via_count == index.via_count + 1);
  require(went.max_forwards ==
          (index.max_forwards < 0 ? parts.default_max_forwards : index.max_forwards - 1));
  require(went.call_id.of(out.data()) == index.call_id.of(message.data()));
  require(went.from.value.of(out.data()) == index.from.value.of(message.data()));
  require(went.to.value.of(out.data()) == index.to.value.of(message.data()));
  if (!edits.has_body) require(went.body.of(out.data()) == index.body.of(message.data()));
}

void answer_upstream(const Bytes& message, const MessageIndex& index, const MessageEdits& edits) {
  const Bytes out = built([&](char* to, size_t capacity) {
    return build_reply_upstream(message.data(), message.size(), index, edits, to, capacity);
  });
  built([&](char* to, size_t capacity) {
    return copy_challenges(message.data(), message.size(), index, to, capacity);
  });
  ViaIndex second;
  const bool has_second = second_via(message.data(), message.size(), index, second);
  Hop hop;
  if (has_second && via_target(message.data(), second, hop)) {
    require(hop.address.port != 0 && (hop.address.family == AF_INET || hop.address.family == AF_INET6));
  }
  MessageIndex went;
  if (index.status != IndexStatus::kOk || index.is_request) return;
  require(out.empty() == (index.via_count < 2));
  if (out.empty() || !read_again(out, went)) return;
  require(went.status == (has_second ? IndexStatus::kOk : IndexStatus::kBadVia));
  require(went.via_count == index.via_count - 1);
  if (has_second) require(went.via.value.of(out.data()) == second.value.of(message.data()));
}

void end_hop(const Bytes& message, const MessageIndex& index) {
  const auto check = [&](const Bytes& out, Method method) {
    MessageIndex went;
    if (index.status != IndexStatus::kOk || !index.is_request || !read_again(out, went)) return;
    require(went.status == IndexStatus::kOk && went.method == method && went.via_count == 1);
    require(went.cseq_number == index.cseq_number);
    require(went.via.value.of(out.data()) == index.via.value.of(message.data()));
  };
  check(built([&](char* to, size_t capacity) {
          return build_ack(message.data(), message.size(), index, {}, to, capacity);
        }),
        Method::kAck);
  check(built([&](char* to, size_t capacity) {
          return build_cancel(message.data(), message.size(), index, "Reason: SIP\r\n", to, capacity);
        }),
        Method::kCancel);
}

void mark(const Bytes& message, const MessageIndex& index) {
  static const LoopCheck loops(1, 2);
  char out[LoopCheck::kMarkBytes];
  loops.write_mark(message.data(), message.size(), index, out);
  require(loops.is_looped(message.data(), message.size(), index) ==
          is_looped(message.data(), message.size(), index, {out, sizeof out}));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const SelfSet self = [] {
    SelfSet out;
    out.add("192.0.2.1", 5060);
    out.add("us", 0);
    out.add("::1", 0);
    return out;
  }();
  std::string_view input(reinterpret_cast<const char*>(bytes), size);
  if (input.empty()) return 0;
  const auto wish = static_cast<uint8_t>(input.front());
  input.remove_prefix(1);
  const Bytes ruri = take_field(input);
  const Bytes destination = take_field(input);
  const Bytes names = take_field(input);
  const Bytes message(input.begin(), input.end());

  MessageIndex index;
  index_message(message.data(), message.size(), {}, index);
  MessageEdits edits;
  edits.removed_names = view(names);
  if ((wish & 1) != 0) edits.appended_lines = "P-Mine: 1\r\n";
  edits.has_body = (wish & 2) != 0;
  edits.body = "new";

  RoutePlan plan;
  const bool is_planned =
      plan_route(message.data(), message.size(), index, self, view(ruri), view(destination), plan);
  if (is_planned && index.status == IndexStatus::kOk && index.is_request)
    require(!plan.ruri.empty() && !plan.next_hop.empty());
  forward(message, index, edits, is_planned ? &plan : nullptr);
  plan.skipped_values = wish >> 4;
  plan.drops_last = (wish & 8) != 0;
  forward(message, index, edits, &plan);
  answer_upstream(message, index, edits);
  end_hop(message, index);
  mark(message, index);
  return 0;
}

#ifdef SIP_ASYNC_FUZZ_STANDALONE
#include "fuzz/standalone.h"
#endif
