// Tells threads what others have raised: each waits at places of its own choosing, and whoever raises something at a place tells
// all who wait there, once each.
//
// Ground rules
// - To wait is to hold a ticket. A raise takes all tickets of its place off the board, so a ticket is told once or never, and what
//   was raised before a ticket was drawn, or after it was taken, is not heard by it. Nobody needs a clock for that.
// - A reader holds one ticket per place at most. What lies in the list of a reader that does not come round to it is therefore no
//   more than what it has waited for; it has no other bound.
// - The board's lock guards the places, a reader's own lock its list. No lock is held while another is taken, or while a reader is
//   woken.
// - Once end() has returned, nobody wakes the reader any more; whoever still holds it finds it ended.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/clock.h"

namespace sip_async::core {

// What was raised. Never written after it was handed to the board.
struct NoticeData {
  enum class Form : uint32_t { kUndefined, kNull, kFalse, kTrue, kNumber, kLatin1, kUtf16, kBytes, kPacked };
  Form form = Form::kUndefined;
  double number = 0;
  std::string bytes;  // of a text or of bytes
};

struct Notice {
  uint64_t ticket;
  std::shared_ptr<const NoticeData> data;
};

// One that waits: a thread of JavaScript.
class NoticeReader {
 public:
  virtual ~NoticeReader() = default;
  // Takes all there is, in the order in which it came. By the thread that reads.
  std::vector<Notice> take();
  // Whether it holds a ticket. Any thread may have taken the last one meanwhile.
  bool waits() const { return tickets_.load(std::memory_order_relaxed) != 0; }
  // Looks for up to `most_ns` whether something comes, before the thread takes the way through the kernel; nobody wakes it
  // meanwhile. False when nothing came, or `has_other_work()` says that there is something else to do. By the thread that reads.
  template <class HasOtherWork>
  bool look_out(uint64_t most_ns, HasOtherWork&& has_other_work);

 protected:
  // Makes the thread take, now or once more than it needed to. By any thread, before end() has returned.
  virtual void wake() = 0;
  // Nothing is told from here on, and what was not yet taken is gone.
  void end();

 private:
  friend class NoticeBoard;
  void tell(Notice notice);
  // Both return whether there is something to take.
  bool begin_look_out();
  bool end_look_out();

  // How many tickets it holds. Written under the board's lock, read by waits(), which wants no more than a hint; relaxed.
  std::atomic<uint32_t> tickets_{0};
  // Whether notices_ holds something. Written under list_mutex_, read by look_out() without it, whose end takes the lock; relaxed.
  std::atomic<bool> has_notices_{false};
  // Guards notices_, ended_ and looks_out_.
  std::mutex list_mutex_;
  std::vector<Notice> notices_;
  bool ended_ = false;
  bool looks_out_ = false;
  // Held while wake() runs, apart from the other lock: the thread that was woken must not wait for the end of that.
  std::mutex wake_mutex_;
  bool wakes_ = true;
};

class NoticeBoard {
 public:
  using Place = std::u16string_view;
  static constexpr uint64_t kNoTicket = 0;
  struct Ticket {
    std::shared_ptr<NoticeReader> reader;
    uint64_t number;
  };

  NoticeBoard();

  // The reader's ticket at this place, a new one if it has none.
  uint64_t await(Place place, const std::shared_ptr<NoticeReader>& reader);
  // Gives a ticket back; one that was taken meanwhile is gone already.
  void forget(Place place, uint64_t ticket);
  // All of a reader's. Goes through the whole board.
  void forget_all(const NoticeReader& reader);

  // Takes the tickets of a place: the reader's own, or kNoTicket, is returned, those of others are appended. Each must be told.
  uint64_t take(Place place, const NoticeReader* own, std::vector<Ticket>& others);
  static void tell(const Ticket& ticket, std::shared_ptr<const NoticeData> data) {
    ticket.reader->tell({ticket.number, std::move(data)});
  }

  // How many tickets are out.
  size_t size() const;

 private:
  struct Hash {
    using is_transparent = void;
    uint64_t key0, key1;
    size_t operator()(Place place) const;
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(Place one, Place other) const { return one == other; }
  };

  mutable std::mutex mutex_;
  std::unordered_multimap<std::u16string, Ticket, Hash, Equal> tickets_;
  uint64_t last_ = kNoTicket;
};

template <class HasOtherWork>
bool NoticeReader::look_out(uint64_t most_ns, HasOtherWork&& has_other_work) {
  if (begin_look_out()) return true;
  const uint64_t until_ns = now_ns() + most_ns;
  do {
    // Not a loop that holds the processor: the thread that would raise the next often waits for this very one.
    sched_yield();
  } while (!has_notices_.load(std::memory_order_relaxed) && waits() && !has_other_work() &&
           now_ns() < until_ns);
  return end_look_out();
}

}  // namespace sip_async::core
