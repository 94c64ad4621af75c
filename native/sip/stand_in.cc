#include "sip/stand_in.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "core/clock.h"
#include "sip/sip_engine.h"

namespace sip_async::sip {

namespace {

constexpr uint32_t kStopMark = 0xffff'ffff;
constexpr uint32_t kBatchMark = 0xffff'fffe;

void raise(int event_fd) {
  const uint64_t one = 1;
  while (write(event_fd, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

bool is_readable(int fd) {
  pollfd look{fd, POLLIN, 0};
  return poll(&look, 1, 0) == 1;
}

}  // namespace

StandIn::StandIn(SipEngine& engine) : engine_(engine), watched_(engine.transport().size()) {}

void StandIn::wake_for(uint32_t socket, core::Wakeable* waker) {
  watched_[socket].waker.store(waker, std::memory_order_release);
}

void StandIn::start() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  stop_event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = kStopMark;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, stop_event_, &event);
  batch_event_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  event.data.u32 = kBatchMark;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, batch_event_, &event);
  for (uint32_t i = 0; i < watched_.size(); ++i) {
    if (engine_.transport().socket(i).fd() < 0) continue;
    event.events = EPOLLIN | EPOLLONESHOT;
    event.data.u32 = i;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, engine_.transport().socket(i).fd(), &event);
  }
  thread_ = std::thread([this] { run(); });
}

void StandIn::stop() {
  if (!thread_.joinable()) return;
  raise(stop_event_);
  thread_.join();
  ::close(epoll_);
  ::close(stop_event_);
  ::close(batch_event_);
  batch_event_ = -1;  // whoever sends still wakes nobody, and no stranger's descriptor
}

void StandIn::rearm(uint32_t socket) {
  const int fd = engine_.transport().socket(socket).fd();
  if (fd < 0 || epoll_ < 0) return;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.u32 = socket;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void StandIn::run() {
  pthread_setname_np(pthread_self(), "sip-async-watch");
  epoll_event events[16];
  for (;;) {
    const int count = epoll_wait(epoll_, events, 16, next_timeout_ms(core::now_ns()));
    const uint64_t now = core::now_ns();
    for (int i = 0; i < count; ++i) {
      if (events[i].data.u32 == kStopMark) return;
      if (events[i].data.u32 == kBatchMark) {
        uint64_t raised = 0;
        (void)!read(batch_event_, &raised, sizeof raised);
        batches_moved_ns_ = now;
      } else {
        on_readable(events[i].data.u32, now);
      }
    }
    if (watches_batches_.load(std::memory_order_seq_cst)) look_at_batches(now);
    for (uint32_t i = 0; i < watched_.size(); ++i) {
      if (watched_[i].state != Watch::kArmed && watched_[i].look_at_ns <= now) look(i, now);
    }
  }
}

int StandIn::next_timeout_ms(uint64_t now) const {
  uint64_t soonest = watches_batches_.load(std::memory_order_seq_cst) ? look_at_batches_ns_ : UINT64_MAX;
  for (const Watched& watched : watched_) {
    if (watched.state != Watch::kArmed) soonest = std::min(soonest, watched.look_at_ns);
  }
  if (soonest == UINT64_MAX) return -1;
  return soonest <= now ? 0 : static_cast<int>((soonest - now + core::kNsPerMs - 1) / core::kNsPerMs);
}

void StandIn::wake() {
  if (watches_batches_.load(std::memory_order_seq_cst)) return;
  if (!watches_batches_.exchange(true, std::memory_order_seq_cst)) raise(batch_event_);
}

uint64_t StandIn::batches_begun() const {
  Transports& out = engine_.transport();
  uint64_t sum = 0;
  for (uint32_t i = 0; i < out.batch_count(); ++i) sum += out.batch(i).begun();
  return sum;
}

bool StandIn::any_batch_waits() const {
  Transports& out = engine_.transport();
  for (uint32_t i = 0; i < out.batch_count(); ++i) {
    if (out.batch(i).waits()) return true;
  }
  return false;
}

void StandIn::look_at_batches(uint64_t now) {
  constexpr uint64_t kGraceNs = uint64_t{kGraceMs} * core::kNsPerMs;
  Transports& out = engine_.transport();
  for (uint32_t i = 0; i < out.batch_count(); ++i) out.batch(i).flush_older_than(now - kBatchGraceNs);
  look_at_batches_ns_ = now + kGraceNs;
  const uint64_t begun = batches_begun();
  if (begun != seen_begun_) {
    seen_begun_ = begun;
    batches_moved_ns_ = now;
  }
  if (now - batches_moved_ns_ < kGraceNs) return;
  watches_batches_.store(false, std::memory_order_seq_cst);
  if (any_batch_waits()) watches_batches_.store(true, std::memory_order_seq_cst);
}

void StandIn::on_readable(uint32_t socket, uint64_t now) {
  Watched& watched = watched_[socket];
  if (watched.state == Watch::kStanding) {
    look(socket, now);
    return;
  }
  core::Wakeable* waker = watched.waker.load(std::memory_order_acquire);
  if (waker != nullptr) waker->wake();
  look_again_after_grace(watched, Watch::kGrace, engine_.rounds(engine_.receiver_of(socket)), now);
}

void StandIn::look_again_after_grace(Watched& watched, Watch state, uint64_t rounds, uint64_t now) {
  watched.state = state;
  watched.seen_rounds = rounds;
  watched.look_at_ns = now + uint64_t{kGraceMs} * core::kNsPerMs;
}

void StandIn::look(uint32_t socket, uint64_t now) {
  Watched& watched = watched_[socket];
  const uint64_t rounds = engine_.rounds(engine_.receiver_of(socket));
  // A loop that polls by itself is busy and well: no need to be told of its datagrams. One that we wake must be rearmed.
  if (rounds != watched.seen_rounds && watched.waker.load(std::memory_order_acquire) == nullptr) {
    look_again_after_grace(watched, Watch::kNap, rounds, now);
    return;
  }
  // Behind a nap a datagram may be a moment old, so it gets its full grace first. An emptied socket ends the standing in,
  // too: a loop that is back but has nothing to read does not move its counter.
  if (rounds != watched.seen_rounds || watched.state == Watch::kNap ||
      !is_readable(engine_.transport().socket(socket).fd())) {
    watched.state = Watch::kArmed;
    rearm(socket);
    return;
  }
  watched.state = Watch::kStanding;
  while (engine_.read_for(socket) == ReceiveBatch::kMessages &&
         engine_.rounds(engine_.receiver_of(socket)) == watched.seen_rounds) {
  }
  watched.look_at_ns = now + uint64_t{kRecheckMs} * core::kNsPerMs;
}

}  // namespace sip_async::sip
