// Lists of timer nodes for the wheel's buckets, in chunks of memory.
//
// Ground rules
// - One thread uses it: the wheel's ticker.
// - Lists only grow at the end and are read from the front, all at once. So every chunk but a list's last is full, and there
//   are chunks enough for all nodes, however they spread over the lists: see chunks_for().
// - A reader sees entries long before it comes to them and can have their nodes fetched meanwhile. Nodes linked to each other
//   would make every step wait for memory: a million of them lie in no cache.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/cache_line.h"
#include "core/region.h"

namespace sip_async::core {

struct TimerEntry {
  uint32_t index;
  // Lower half of the due tick: the list that the entry stands in tells the rest.
  uint32_t due_low;
};

class TimerChunks {
 public:
  static constexpr uint32_t kEntries = 63;
  // How many entries ahead a node is fetched, and how many ahead what the node stands for.
  static constexpr uint32_t kFarAhead = 32;
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
  static uint32_t chunks_for(uint32_t nodes, uint32_t lists) {
    return static_cast<uint32_t>(std::min<uint64_t>(nodes, uint64_t{nodes} / kEntries + lists)) + 2;
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

  // Takes the list apart: visit(entry) for each, in order. It may append to other lists. far_ahead(index) is called for
  // nodes that come up, ahead(index) a little later, both only to have memory fetched.
  template <class FarAhead, class Ahead, class Visit>
  void consume(const List& list, FarAhead&& far_ahead, Ahead&& ahead, Visit&& visit) {
    for (uint32_t at = list.first; at != 0;) {
      Chunk& chunk = chunks_[at - 1];
      const bool is_last = at == list.last;
      const uint32_t count = is_last ? list.fill : kEntries;
      const uint32_t next = is_last ? 0 : chunk.next;
      if (!is_last) fetch(chunks_[next - 1]);
      const TimerEntry* entries = chunk.entries;
      if (count >= kLookFrom) {
        for (uint32_t i = 0; i < std::min(count, kFarAhead); ++i) far_ahead(entries[i].index);
        for (uint32_t i = 0; i < std::min(count, kAhead); ++i) ahead(entries[i].index);
      }
      for (uint32_t i = 0; i < count; ++i) {
        if (i + kFarAhead < count) far_ahead(entries[i + kFarAhead].index);
        if (i + kAhead < count) ahead(entries[i + kAhead].index);
        visit(entries[i]);
      }
      give_back(at);
      at = next;
    }
  }
  template <class Visit>
  void consume(const List& list, Visit&& visit) {
    consume(
        list, [](uint32_t) {}, [](uint32_t) {}, visit);
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
    uint32_t next;  // chunk + 1; means nothing in the last of a list
    uint32_t unused;
    TimerEntry entries[kEntries];
  };
  static_assert(sizeof(Chunk) == 512);
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
