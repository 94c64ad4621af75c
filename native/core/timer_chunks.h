// Lists of timers for the wheel's buckets, in chunks of memory.
//
// Ground rules
// - One thread uses it: the wheel's ticker.
// - Lists only grow at the end and are read from the front, all at once. So every chunk but a list's last is full, and there
//   are chunks enough for all timers, however they spread over the lists: see chunks_for().
// - An entry is all there is of a timer, so lists are read and written one entry behind the other, which memory is good at.
//   A reader sees entries long before it comes to them and can have what they stand for fetched meanwhile. Timers linked to
//   each other would make every step wait for memory: a million of them lie in no cache.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/cache_line.h"
#include "core/region.h"

namespace sip_async::core {

// A timer: when it is due, and what it stands for, which only the wheel's user understands.
class TimerEntry {
 public:
  static constexpr uint32_t kTagBits = 23;
  static constexpr uint32_t kTagMask = (1u << kTagBits) - 1;
  static constexpr uint64_t kMaxTick = UINT64_MAX >> (kTagBits + 1);

  TimerEntry(uint32_t slot, uint32_t generation, uint32_t tag, uint64_t due_tick)
      : subject_(uint64_t{generation} << 32 | slot),
        moment_(due_tick << (kTagBits + 1) | uint64_t{tag & kTagMask} << 1 | 1) {}
  // From its two halves.
  TimerEntry(uint64_t subject, uint64_t moment) : subject_(subject), moment_(moment) {}

  uint32_t slot() const { return static_cast<uint32_t>(subject_); }
  uint32_t generation() const { return static_cast<uint32_t>(subject_ >> 32); }
  uint32_t tag() const { return static_cast<uint32_t>(moment_ >> 1) & kTagMask; }
  uint64_t due_tick() const { return moment_ >> (kTagBits + 1); }
  uint64_t subject() const { return subject_; }
  // Never 0.
  uint64_t moment() const { return moment_; }

 private:
  //   63         32 31      0
  //   [ generation ][ slot  ]
  uint64_t subject_;
  //   63         24 23     1   0
  //   [  due tick  ][ tag  ][ 1 ]
  uint64_t moment_;
};
static_assert(sizeof(TimerEntry) == 16);

class TimerChunks {
 public:
  static constexpr uint32_t kEntries = 63;
  // How many entries ahead what one stands for is fetched.
  static constexpr uint32_t kAhead = 16;
  // In a shorter list there is nobody to look ahead to.
  static constexpr uint32_t kLookFrom = 8;

  // All zero: empty.
  struct List {
    uint32_t first;  // chunk + 1
    uint32_t last;   // chunk + 1
    uint32_t fill;   // entries in the last chunk
    bool empty() const { return first == 0; }
  };

  // A chunk for each list that is not full, those that are full, and those that a reader holds: the one it reads, whose
  // entries may be in other lists already, and the one it read last.
  static uint32_t chunks_for(uint32_t timers, uint32_t lists) {
    return static_cast<uint32_t>(std::min<uint64_t>(timers, uint64_t{timers} / kEntries + lists)) + 2;
  }
  static size_t region_bytes(uint32_t chunks) {
    return Region::padded(sizeof(State)) + Region::padded(sizeof(Chunk) * chunks);
  }
  TimerChunks(Region& region, uint32_t chunks)
      : state_(region.take<State>(1)), chunks_(region.take<Chunk>(chunks)) {}

  void append(List& list, TimerEntry entry) {
    if (list.first == 0) {
      list.first = list.last = take();
      list.fill = 0;
    } else if (list.fill == kEntries) {
      const uint32_t next = take();
      chunks_[list.last - 1].next = next;
      list.last = next;
      list.fill = 0;
    }
    chunks_[list.last - 1].entries[list.fill++] = entry;
  }

  // Takes the list apart: visit(entry) for each, in order. It may append to other lists. ahead(entry) is called for those
  // that come up, only to have memory fetched.
  template <class Ahead, class Visit>
  void consume(const List& list, Ahead&& ahead, Visit&& visit) {
    for (uint32_t at = list.first; at != 0;) {
      Chunk& chunk = chunks_[at - 1];
      const bool is_last = at == list.last;
      const uint32_t count = is_last ? list.fill : kEntries;
      const uint32_t next = is_last ? 0 : chunk.next;
      if (!is_last) fetch(chunks_[next - 1]);
      const TimerEntry* entries = chunk.entries;
      if (count >= kLookFrom) {
        for (uint32_t i = 0; i < std::min(count, kAhead); ++i) ahead(entries[i]);
      }
      for (uint32_t i = 0; i < count; ++i) {
        if (i + kAhead < count) ahead(entries[i + kAhead]);
        visit(entries[i]);
      }
      give_back(at);
      at = next;
    }
  }
  template <class Visit>
  void consume(const List& list, Visit&& visit) {
    consume(
        list, [](TimerEntry) {}, visit);
  }

  template <class Visit>
  void for_each(const List& list, Visit&& visit) const {
    for (uint32_t at = list.first; at != 0;) {
      const bool is_last = at == list.last;
      const uint32_t count = is_last ? list.fill : kEntries;
      for (uint32_t i = 0; i < count; ++i) visit(chunks_[at - 1].entries[i]);
      at = is_last ? 0 : chunks_[at - 1].next;
    }
  }

  // Chunks that lists hold at present.
  uint32_t in_use() const { return state_->in_use; }
  // What the list holds of them, as its own numbers say.
  uint32_t chunks_of(const List& list) const {
    uint32_t count = 0;
    for (uint32_t at = list.first; at != 0; at = at == list.last ? 0 : chunks_[at - 1].next) ++count;
    return count;
  }

 private:
  struct Chunk {
    alignas(sizeof(TimerEntry)) uint32_t next;  // chunk + 1; means nothing in the last of a list
    alignas(sizeof(TimerEntry)) TimerEntry entries[kEntries];
  };
  static_assert(sizeof(Chunk) == (kEntries + 1) * sizeof(TimerEntry));
  struct State {
    uint32_t free;   // chunk + 1, linked through next
    uint32_t fresh;  // chunks from here on have never been used
    uint32_t in_use;
  };

  // The processor finds the lines of a chunk out by itself only when most of them have been read.
  static void fetch(const Chunk& chunk) {
    for (size_t at = 0; at < sizeof(Chunk); at += kCacheLine)
      __builtin_prefetch(reinterpret_cast<const char*>(&chunk) + at);
  }
  uint32_t take() {
    ++state_->in_use;
    const uint32_t at = state_->free;
    if (at == 0) return ++state_->fresh;
    state_->free = chunks_[at - 1].next;
    return at;
  }
  void give_back(uint32_t at) {
    --state_->in_use;
    chunks_[at - 1].next = state_->free;
    state_->free = at;
  }

  State* state_;
  Chunk* chunks_;
};

}  // namespace sip_async::core
