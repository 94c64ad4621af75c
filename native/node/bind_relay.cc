// Sending on, and suspensions that only their handle ends.
#include <charconv>

#include "node/args.h"
#include "node/bytes.h"
#include "node/environment.h"

namespace sip_async::node {

namespace {

using core::Status;
using core::Task;

// Arguments 3 to 10 of whatever sends a message on: ruri, destination, removed names, appended lines, body, whether it
// records the route, failure route, reply route.
struct Wanted {
  template <size_t Count>
  Wanted(napi_env env, const Args<Count>& args)
      : ruri(args.text(3)),
        destination(args.text(4)),
        removed(args.text(5)),
        appended(args.text(6)),
        body(env, args[7]) {
    request.ruri = ruri;
    request.destination = destination;
    request.edits = {removed, appended, body.is_there, body.view};
    request.records_route = args.boolean(8);
    request.on_failure = static_cast<uint16_t>(args.u32(9));
    request.on_reply = static_cast<uint16_t>(args.u32(10));
  }
  Wanted(const Wanted&) = delete;
  Wanted& operator=(const Wanted&) = delete;

  std::string ruri, destination, removed, appended;
  Bytes body;
  sip::RelayRequest request;
};

napi_value relay(napi_env env, napi_callback_info info) {
  const Args<12> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  const Wanted wanted(env, args);
  Task branch{core::kNone, 0};
  const Status status = channel->transactions().relay(task_of(args), wanted.request, branch);
  put_pair(env, args[11], branch.index, branch.generation);
  return make_status(env, status);
}

napi_value forward(napi_env env, napi_callback_info info) {
  const Args<12> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  Wanted wanted(env, args);
  const std::string server_name = args.text(11);
  wanted.request.server_name = server_name;
  return make_status(env, channel->transactions().forward(task_of(args), wanted.request));
}

napi_value branch_open(napi_env env, napi_callback_info info) {
  const Args<6> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  sip::RelayRequest request;
  request.on_failure = static_cast<uint16_t>(args.u32(3));
  request.on_reply = static_cast<uint16_t>(args.u32(4));
  Task branch{core::kNone, 0};
  const Status status =
      channel->transactions().open_branch(task_of(args), request, channel->place().thread, branch);
  put_pair(env, args[5], branch.index, branch.generation);
  return make_status(env, status);
}

napi_value branch_relay(napi_env env, napi_callback_info info) {
  const Args<11> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  const Wanted wanted(env, args);
  return make_status(env, channel->transactions().relay_branch(task_of(args), wanted.request));
}

napi_value branch_target(napi_env env, napi_callback_info) {
  return make_text(env, sip::TransactionLayer::last_target());
}

// "udp 192.0.2.1 5060" lines.
napi_value branch_send_to(napi_env env, napi_callback_info info) {
  const Args<5> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  const std::string text = args.text(3);
  std::vector<sip::Hop> hops;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t first = line.find(' '), last = line.rfind(' ');
    if (first == std::string_view::npos || first == last) continue;
    sip::Hop hop;
    uint16_t port = 0;
    std::from_chars(line.data() + last + 1, line.data() + line.size(), port);
    const std::string host(line.substr(first + 1, last - first - 1));
    if (!sip::Address::parse(host, port, hop.address)) continue;
    for (const auto transport : {sip::Transport::kUdp, sip::Transport::kTcp, sip::Transport::kTls,
                                 sip::Transport::kWs, sip::Transport::kWss}) {
      if (line.substr(0, first) == sip::transport_parameter(transport)) hop.transport = transport;
    }
    hops.push_back(hop);
  }
  return make_status(env,
                     channel->transactions().send_to(task_of(args), hops.data(), hops.size(), args.text(4)));
}

napi_value branch_fail(napi_env env, napi_callback_info info) {
  const Args<4> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  return make_status(env,
                     channel->transactions().fail_branch(task_of(args), static_cast<uint16_t>(args.u32(3))));
}

napi_value reply_forward(napi_env env, napi_callback_info info) {
  const Args<6> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return nullptr;
  const std::string removed = args.text(3), appended = args.text(4);
  const Bytes body(env, args[5]);
  channel->within(task_of(args), [&] {
    channel->transactions().finish_reply(task_of(args), {removed, appended, body.is_there, body.view});
  });
  return nullptr;
}

napi_value status_of(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  Channel* channel = channel_of(env, args);
  return make_u32(env, channel == nullptr ? 0 : channel->transactions().status_of(task_of(args)));
}

napi_value is_cancelled(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  Channel* channel = channel_of(env, args);
  return make_bool(env, channel != nullptr && channel->transactions().is_cancelled(task_of(args)));
}

napi_value cancel_reason(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  Channel* channel = channel_of(env, args);
  return make_text(env,
                   channel == nullptr ? std::string() : channel->transactions().cancel_reason(task_of(args)));
}

napi_value suspend_open(napi_env env, napi_callback_info info) {
  const Args<6> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  uint32_t suspension = 0;
  const auto most_ms = static_cast<uint64_t>(args.number(3));
  const Status status = channel->transactions().suspend_open(task_of(args), most_ms,
                                                             static_cast<uint16_t>(args.u32(4)), suspension);
  put_pair(env, args[5], suspension, 0);
  return make_status(env, status);
}

napi_value suspend_undo(napi_env env, napi_callback_info info) {
  const Args<4> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  return make_status(
      env, channel->transactions().undo_suspension(task_of(args), args.u32(3), channel->place().thread));
}

napi_value continue_with(napi_env env, napi_callback_info info) {
  const Args<5> args(env, info);
  Channel* channel = channel_of(env, args);
  if (channel == nullptr) return make_status(env, Status::kClosed);
  return make_status(env,
                     channel->transactions().continue_with(task_of(args), static_cast<uint16_t>(args.u32(3)),
                                                           static_cast<uint16_t>(args.u32(4))));
}

napi_value variables_shared(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  Channel* channel = channel_of(env, args);
  const std::string bytes =
      channel == nullptr ? std::string() : channel->transactions().shared_variables(task_of(args));
  if (bytes.empty()) return make_null(env);
  napi_value out;
  napi_create_buffer_copy(env, bytes.size(), bytes.data(), nullptr, &out);
  return out;
}

napi_value variables_share(napi_env env, napi_callback_info info) {
  const Args<4> args(env, info);
  Channel* channel = channel_of(env, args);
  const Bytes bytes(env, args[3]);
  if (channel != nullptr) channel->transactions().share_variables(task_of(args), bytes.view);
  return nullptr;
}

napi_value has_transaction(napi_env env, napi_callback_info info) {
  const Args<3> args(env, info);
  Channel* channel = channel_of(env, args);
  return make_bool(env, channel != nullptr && channel->transactions().has_transaction(task_of(args)));
}

}  // namespace

const std::vector<Export> kRelayExports = {
    {"variablesShared", variables_shared},
    {"variablesShare", variables_share},
    {"hasTransaction", has_transaction},
    {"relay", relay},
    {"forward", forward},
    {"branchOpen", branch_open},
    {"branchRelay", branch_relay},
    {"branchTarget", branch_target},
    {"branchSendTo", branch_send_to},
    {"branchFail", branch_fail},
    {"replyForward", reply_forward},
    {"statusOf", status_of},
    {"isCancelled", is_cancelled},
    {"cancelReason", cancel_reason},
    {"suspendOpen", suspend_open},
    {"suspendUndo", suspend_undo},
    {"continueWith", continue_with},
};

}  // namespace sip_async::node
