#include "core/lanes.h"

#include <vector>

namespace sip_async::core {

namespace {

size_t region_bytes(size_t tickets, size_t ticket_bytes, size_t buckets, size_t bucket_bytes) {
  return Region::padded(tickets * ticket_bytes) + 2 * Region::padded(buckets * bucket_bytes);
}

}  // namespace

Lanes::Guard::Guard(Bucket& bucket) : bucket_(bucket) {
  for (uint32_t spins = 0;; ++spins) {
    uint32_t word = bucket.word.load(std::memory_order_relaxed);
    // Acquire: pairs with the release of the unlock before.
    if ((word & kLocked) == 0 &&
        bucket.word.compare_exchange_weak(word, word | kLocked, std::memory_order_acquire,
                                          std::memory_order_relaxed)) {
      head = word;
      return;
    }
    // The holder may have been taken off its core; then spinning only keeps it away.
    if (spins < 64) {
      cpu_relax();
    } else {
      sched_yield();
    }
  }
}

Lanes::Lanes(uint32_t slots)
    : size_(slots),
      mask_(TaskQueue::rounded(slots) - 1),
      region_(region_bytes(slots, sizeof(Ticket), size_t{mask_} + 1, sizeof(Bucket))),
      tickets_(region_.take<Ticket>(slots)),
      lane_buckets_(region_.take<Bucket>(size_t{mask_} + 1)),
      key_buckets_(region_.take<Bucket>(size_t{mask_} + 1)) {}

uint32_t Lanes::find(uint32_t head, const Hash128& lane) const {
  for (uint32_t at = head; at != 0; at = tickets_[at - 1].chain) {
    if (tickets_[at - 1].lane == lane) return at;
  }
  return 0;
}

// Others in the bucket of the key may be of other lanes, whose locks are not held; what is compared is constant while they
// are listed.
bool Lanes::is_listed(const Hash128& lane, const Hash128& key) {
  Guard bucket(key_bucket(key));
  for (uint32_t at = bucket.head; at != 0; at = tickets_[at - 1].key_next) {
    if (tickets_[at - 1].key == key && tickets_[at - 1].lane == lane) return true;
  }
  return false;
}

void Lanes::list_key(uint32_t index) {
  Ticket& ticket = tickets_[index];
  Guard bucket(key_bucket(ticket.key));
  ticket.has_key = true;
  ticket.key_previous = 0;
  ticket.key_next = bucket.head;
  if (bucket.head != 0) tickets_[bucket.head - 1].key_previous = index + 1;
  bucket.head = index + 1;
}

void Lanes::unlist_key(uint32_t index) {
  Ticket& ticket = tickets_[index];
  if (!ticket.has_key) return;
  ticket.has_key = false;
  Guard bucket(key_bucket(ticket.key));
  if (ticket.key_next != 0) tickets_[ticket.key_next - 1].key_previous = ticket.key_previous;
  if (ticket.key_previous != 0) {
    tickets_[ticket.key_previous - 1].key_next = ticket.key_next;
  } else {
    bucket.head = ticket.key_next;
  }
}

Lanes::Entry Lanes::append(Guard& bucket, uint32_t first, uint32_t index) {
  Ticket& ticket = tickets_[index];
  ticket.next = 0;
  if (first == 0) {
    ticket.place = Place::kFirst;
    ticket.previous = 0;
    ticket.last = index + 1;
    ticket.chain = bucket.head;
    bucket.head = index + 1;
    return Entry::kFirst;
  }
  Ticket& head = tickets_[first - 1];
  ticket.place = Place::kWaiting;
  ticket.previous = head.last;
  tickets_[head.last - 1].next = index + 1;
  head.last = index + 1;
  waiting_.fetch_add(1, std::memory_order_relaxed);
  return Entry::kBehind;
}

void Lanes::begin(uint32_t index) {
  Guard bucket(lane_bucket(tickets_[index].lane));
  unlist_key(index);
}

void Lanes::replace_first(Guard& bucket, uint32_t index, uint32_t by) {
  uint32_t* link = &bucket.head;
  while (*link != index + 1) link = &tickets_[*link - 1].chain;
  *link = by == 0 ? tickets_[index].chain : by;
}

Lanes::Left Lanes::leave(uint32_t index, Task& next, uint16_t& group) {
  next = Task{kNone, 0};
  Ticket& ticket = tickets_[index];
  Guard bucket(lane_bucket(ticket.lane));
  if (ticket.place == Place::kOut) return Left::kNothing;
  unlist_key(index);
  const Place place = ticket.place;
  ticket.place = Place::kOut;
  group = ticket.group;
  if (place == Place::kWaiting) {
    const uint32_t first = find(bucket.head, ticket.lane);
    tickets_[ticket.previous - 1].next = ticket.next;
    if (ticket.next != 0) {
      tickets_[ticket.next - 1].previous = ticket.previous;
    } else {
      tickets_[first - 1].last = ticket.previous;
    }
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    return Left::kWaiting;
  }
  replace_first(bucket, index, ticket.next);
  if (ticket.next == 0) return Left::kFirst;
  Ticket& heir = tickets_[ticket.next - 1];
  heir.place = Place::kFirst;
  heir.previous = 0;
  heir.last = ticket.last;
  heir.chain = ticket.chain;
  next = Task{ticket.next - 1, heir.generation};
  waiting_.fetch_sub(1, std::memory_order_relaxed);
  return Left::kFirst;
}

bool Lanes::check_invariants() const {
  uint32_t in_lanes = 0;
  uint32_t waiting = 0;
  uint32_t keys = 0;
  for (uint32_t number = 0; number <= mask_; ++number) {
    const uint32_t head = lane_buckets_[number].word.load(std::memory_order_acquire);
    if ((head & kLocked) != 0) return false;
    for (uint32_t first = head; first != 0; first = tickets_[first - 1].chain) {
      if (tickets_[first - 1].place != Place::kFirst || tickets_[first - 1].previous != 0) return false;
      uint32_t last = first;
      for (uint32_t at = first; at != 0; last = at, at = tickets_[at - 1].next) {
        const Ticket& ticket = tickets_[at - 1];
        if (++in_lanes > size_ || (ticket.lane.low & mask_) != number) return false;
        if (at == first) continue;
        ++waiting;
        if (ticket.place != Place::kWaiting || ticket.previous != last) return false;
        if (!(ticket.lane == tickets_[first - 1].lane)) return false;
      }
      if (tickets_[first - 1].last != last) return false;
    }
    const uint32_t listed = key_buckets_[number].word.load(std::memory_order_acquire);
    if ((listed & kLocked) != 0) return false;
    for (uint32_t at = listed, previous = 0; at != 0; previous = at, at = tickets_[at - 1].key_next) {
      const Ticket& ticket = tickets_[at - 1];
      if (++keys > size_ || !ticket.has_key || ticket.key_previous != previous) return false;
      if (ticket.place == Place::kOut || (ticket.key.low & mask_) != number) return false;
    }
  }
  return keys <= in_lanes && waiting == waiting_.load(std::memory_order_relaxed);
}

}  // namespace sip_async::core
