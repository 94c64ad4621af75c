#include "core/notice_board.h"

#include <utility>

#include "core/random_key.h"
#include "core/siphash.h"

namespace sip_async::core {

namespace {

auto make_hash(auto hash) {
  draw_key(hash.key0, hash.key1);
  return hash;
}

}  // namespace

std::vector<Notice> NoticeReader::take() {
  const std::lock_guard lock(list_mutex_);
  has_notices_.store(false, std::memory_order_relaxed);
  return std::exchange(notices_, {});
}

void NoticeReader::tell(Notice notice) {
  {
    const std::lock_guard lock(list_mutex_);
    if (ended_) return;
    notices_.push_back(std::move(notice));
    has_notices_.store(true, std::memory_order_relaxed);
    // Whoever put the first one there wakes, or is about to.
    if (notices_.size() != 1 || looks_out_) return;
  }
  const std::lock_guard lock(wake_mutex_);
  if (wakes_) wake();
}

bool NoticeReader::begin_look_out() {
  const std::lock_guard lock(list_mutex_);
  looks_out_ = notices_.empty();
  return !looks_out_;
}

bool NoticeReader::end_look_out() {
  const std::lock_guard lock(list_mutex_);
  looks_out_ = false;
  return !notices_.empty();
}

void NoticeReader::end() {
  std::vector<Notice> dropped;
  {
    const std::lock_guard lock(list_mutex_);
    ended_ = true;
    dropped.swap(notices_);
  }
  const std::lock_guard lock(wake_mutex_);
  wakes_ = false;
}

size_t NoticeBoard::Hash::operator()(Place place) const {
  const auto* bytes = reinterpret_cast<const char*>(place.data());
  return static_cast<size_t>(SipHash(key0, key1).add({bytes, place.size() * sizeof(char16_t)}).finish().low);
}

NoticeBoard::NoticeBoard() : tickets_(0, make_hash(Hash{})) {}

uint64_t NoticeBoard::await(Place place, const std::shared_ptr<NoticeReader>& reader) {
  const std::lock_guard lock(mutex_);
  const auto [begin, end] = tickets_.equal_range(place);
  for (auto at = begin; at != end; ++at) {
    if (at->second.reader == reader) return at->second.number;
  }
  tickets_.emplace(place, Ticket{reader, ++last_});
  reader->tickets_.fetch_add(1, std::memory_order_relaxed);
  return last_;
}

void NoticeBoard::forget(Place place, uint64_t ticket) {
  const std::lock_guard lock(mutex_);
  const auto [begin, end] = tickets_.equal_range(place);
  for (auto at = begin; at != end; ++at) {
    if (at->second.number != ticket) continue;
    at->second.reader->tickets_.fetch_sub(1, std::memory_order_relaxed);
    tickets_.erase(at);
    return;
  }
}

void NoticeBoard::forget_all(const NoticeReader& reader) {
  const std::lock_guard lock(mutex_);
  std::erase_if(tickets_, [&](const auto& entry) { return entry.second.reader.get() == &reader; });
}

uint64_t NoticeBoard::take(Place place, const NoticeReader* own, std::vector<Ticket>& others) {
  uint64_t own_ticket = kNoTicket;
  const std::lock_guard lock(mutex_);
  const auto [begin, end] = tickets_.equal_range(place);
  for (auto at = begin; at != end; ++at) {
    at->second.reader->tickets_.fetch_sub(1, std::memory_order_relaxed);
    if (at->second.reader.get() == own) {
      own_ticket = at->second.number;
    } else {
      others.push_back(std::move(at->second));
    }
  }
  tickets_.erase(begin, end);
  return own_ticket;
}

size_t NoticeBoard::size() const {
  const std::lock_guard lock(mutex_);
  return tickets_.size();
}

}  // namespace sip_async::core
