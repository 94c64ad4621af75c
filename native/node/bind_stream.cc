// Streams: what the connections of the main thread bring in, and what they are to send.
#include <cstring>

#include "node/args.h"
#include "node/bytes.h"
#include "node/environment.h"
#include "node/outgoing_layout.h"

namespace sip_async::node {

namespace {

bool read_hop(const std::string& host, uint32_t port, uint32_t transport, sip::Hop& out) {
  if (!sip::Address::parse(host, static_cast<uint16_t>(port), out.address)) return false;
  out.transport = static_cast<sip::Transport>(transport);
  return true;
}

napi_value engine_listen_stream(napi_env env, napi_callback_info info) {
  const Args<6> args(env, info);
  const auto entry = Hub::instance().find(args.u32(0));
  sip::Hop hop;
  if (entry == nullptr || entry->engine == nullptr || args.u32(1) >= entry->engine->transport().size() ||
      !read_hop(args.text(3), args.u32(4), args.u32(2), hop)) {
    return make_bool(env, false);
  }
  entry->engine->listen_stream(args.u32(1), hop.transport, hop.address, args.text(5));
  return make_bool(env, true);
}

napi_value stream_open(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  if (Channel* channel = channel_of(env, args)) channel->hand_out_to(args[1]);
  return nullptr;
}

napi_value stream_stop(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  if (Channel* channel = channel_of(env, args)) channel->engine().transport().outbox().close();
  return nullptr;
}

// channel, socket, flow, transport, host, port, bytes
template <class Receive>
napi_value with_incoming(napi_env env, napi_value refused, const auto& args, Receive&& receive) {
  Channel* channel = channel_of(env, args);
  sip::Incoming incoming{};
  char host[64];
  const std::string_view text = args.text(4, host, sizeof host);
  if (channel == nullptr || !read_hop(std::string(text), args.u32(5), args.u32(3), incoming.from))
    return refused;
  incoming.from.socket = static_cast<uint16_t>(args.u32(1));
  incoming.from.flow = args.u32(2);
  const Bytes bytes(env, args[6]);
  incoming.data = bytes.view.data();
  incoming.size = bytes.view.size();
  receive(*channel, incoming);
  return make_bool(env, true);
}

napi_value stream_receive(napi_env env, napi_callback_info info) {
  const Args<7> args(env, info);
  return with_incoming(env, make_bool(env, false), args, [](Channel& channel, const sip::Incoming& incoming) {
    channel.engine().receive(incoming);
  });
}

napi_value stream_reject(napi_env env, napi_callback_info info) {
  const Args<9> args(env, info);
  return with_incoming(
      env, make_bool(env, false), args, [&](Channel& channel, const sip::Incoming& incoming) {
        channel.transactions().reject_framing(incoming, static_cast<uint16_t>(args.u32(7)), args.text(8));
      });
}

napi_value stream_take(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  Channel* channel = channel_of(env, args);
  uint32_t* out = words_of(env, args[1], kOutgoingWords);
  napi_value buffer = nullptr;
  if (channel == nullptr || out == nullptr) return make_null(env);
  const bool taken = channel->engine().transport().outbox().take([&](const sip::OutgoingMessage& message) {
    const sip::Address& address = message.to.address;
    out[kOutgoingFlow] = message.to.flow;
    out[kOutgoingTransport] = static_cast<uint32_t>(message.to.transport);
    out[kOutgoingSocket] = message.to.socket;
    out[kOutgoingPort] = address.port;
    out[kOutgoingNameBytes] = message.name_size;
    static_assert(sizeof address == kOutgoingAddressWords * sizeof(uint32_t));
    memcpy(out + kOutgoingAddress, &address, sizeof address);
    napi_create_buffer_copy(env, size_t{message.name_size} + message.size, message.name(), nullptr, &buffer);
  });
  return taken && buffer != nullptr ? buffer : make_null(env);
}

napi_value stream_host(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  const uint32_t* out = words_of(env, args[0], kOutgoingWords);
  sip::Address address;
  if (out != nullptr) memcpy(static_cast<void*>(&address), out + kOutgoingAddress, sizeof address);
  return make_text(env, address.host());
}

napi_value stream_undelivered(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  const Bytes bytes(env, args[1]);
  if (Channel* channel = channel_of(env, args)) {
    channel->transactions().undelivered(bytes.view.data(), bytes.view.size());
  }
  return nullptr;
}

}  // namespace

const std::vector<Export> kStreamExports = {
    {"engineListenStream", engine_listen_stream},
    {"streamOpen", stream_open},
    {"streamStop", stream_stop},
    {"streamReceive", stream_receive},
    {"streamReject", stream_reject},
    {"streamTake", stream_take},
    {"streamHost", stream_host},
    {"streamUndelivered", stream_undelivered},
};

}  // namespace sip_async::node
