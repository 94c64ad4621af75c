#include "sip/sip_engine.h"

#include "sip/stand_in.h"

namespace sip_async::sip {

namespace {

// ACKs, and messages that come while the table is full, take a slot for the time of their route.
constexpr uint32_t kExtraSlots = 1024;
// Mean payload of a slot at full table, request and reply together; the arena is only touched as far as it is used.
constexpr uint64_t kMeanPayloadBytes = 3072;
// Room for some messages of the largest size however small the table is.
constexpr uint64_t kExtraPayloadBytes = 64u << 20;

core::EngineConfig engine_config(const SipEngineConfig& config) {
  core::EngineConfig out;
  // As many tasks as transactions, and twice as many branches, so that none can take the slots of the others.
  out.slots = 4 * config.transactions.max_transactions + kExtraSlots;
  // And as many messages that nothing has been done with yet.
  if (config.transactions.has_pre_routing) out.slots += config.transactions.max_transactions;
  out.payload_bytes = out.slots * kMeanPayloadBytes + kExtraPayloadBytes;
  out.receivers = config.receivers;
  out.groups = config.groups;
  return out;
}

TransactionConfig transaction_config(const SipEngineConfig& config) {
  TransactionConfig out = config.transactions;
  out.receivers = config.receivers;
  return out;
}

}  // namespace

SipEngine::SipEngine(const SipEngineConfig& config)
    : engine_(engine_config(config)),
      transport_(engine_, config.receivers * config.addresses),
      transactions_(engine_, transport_, transaction_config(config)),
      tasks_(engine_, config.transactions.max_transactions),
      operations_(engine_.thread_count()) {
  for (uint32_t i = 0; i < config.receivers; ++i) receivers_.push_back(std::make_unique<Receiver>());
  stand_in_ = std::make_unique<StandIn>(*this);
  transport_.set_watcher(stand_in_.get());
}

SipEngine::~SipEngine() {
  stop();
}

int SipEngine::listen(uint32_t socket, const Address& local, uint32_t receive_buffer_bytes, bool share,
                      std::string_view advertised) {
  const int fault = transport_.socket(socket).open(local, receive_buffer_bytes, share);
  if (fault == 0)
    transactions_.listeners().add(socket, Transport::kUdp, transport_.socket(socket).local(), advertised);
  return fault;
}

void SipEngine::start() {
  engine_.start(&transactions_);
  stand_in_->start();
}

void SipEngine::stop() {
  stand_in_->stop();
  engine_.stop();
  transport_.outbox().close();
  for (uint32_t i = 0; i < transport_.batch_count(); ++i) transport_.batch(i).flush();
  for (uint32_t i = 0; i < transport_.size(); ++i) transport_.socket(i).close();
}

void SipEngine::receive(const Incoming& incoming) {
  Task fresh{};
  if (!transactions_.receive(incoming, fresh)) return;
  uint32_t receiver = next_receiver_;
  if (transactions_.is_raw(fresh)) {
    receiver = transactions_.receiver_of(fresh);
  } else {
    next_receiver_ = (receiver + 1) % receivers();
  }
  if (!engine_.post(receiver, fresh)) transactions_.refuse(fresh);
}

uint32_t SipEngine::read_for(uint32_t socket) {
  std::unique_lock order(receivers_[receiver_of(socket)]->reading, std::defer_lock);
  if (transactions_.has_pre_routing()) order.lock();
  const uint32_t count = transport_.socket(socket).receive(stand_in_batch_);
  // Before the first of them is handed on: who holds a task of this batch finds it counted.
  transport_.counters.stood_in.fetch_add(count, std::memory_order_relaxed);
  // Nothing that these lead to overtakes what their receiver has sent before.
  if (count != 0) transport_.batch(receiver_of(socket)).flush();
  for (uint32_t i = 0; i < count; ++i) {
    const Incoming incoming{stand_in_batch_.data(i), stand_in_batch_.size(i),
                            Hop{Address::of(stand_in_batch_.from(i)), 0, static_cast<uint16_t>(socket)},
                            true};
    Task fresh{};
    if (transactions_.receive(incoming, fresh) && !engine_.post(receiver_of(socket), fresh)) {
      transactions_.refuse(fresh);
    }
  }
  return count;
}

}  // namespace sip_async::sip
