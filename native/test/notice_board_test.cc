// The notice board: who is told of what, by one thread and by many.
#include "core/notice_board.h"

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "test/support/seed.h"
#include "test/support/stress.h"

namespace {

using namespace sip_async::core;
using namespace sip_async::test;

class Reader : public NoticeReader {
 public:
  ~Reader() override { end(); }
  using NoticeReader::end;
  uint32_t wakes() const { return wakes_.load(); }
  // Waits for a wake-up; false when the guard ended it.
  bool sleep() {
    return eventually([this] { return woken_.exchange(false); });
  }

 private:
  void wake() override {
    wakes_.fetch_add(1);
    woken_.store(true);
  }
  std::atomic<uint32_t> wakes_{0};
  std::atomic<bool> woken_{false};
};

std::shared_ptr<const NoticeData> number(double value) {
  NoticeData data;
  data.form = NoticeData::Form::kNumber;
  data.number = value;
  return std::make_shared<const NoticeData>(data);
}

// Tells all others; returns how many.
size_t raise(NoticeBoard& board, NoticeBoard::Place place, double value, const NoticeReader* own = nullptr) {
  std::vector<NoticeBoard::Ticket> others;
  board.take(place, own, others);
  for (const auto& other : others) NoticeBoard::tell(other, number(value));
  return others.size();
}

TEST_CASE("a ticket is told once, of the first raise behind it") {
  NoticeBoard board;
  const auto reader = std::make_shared<Reader>();
  CHECK(raise(board, u"a", 0) == 0);
  const uint64_t ticket = board.await(u"a", reader);
  CHECK(ticket != NoticeBoard::kNoTicket);
  CHECK(board.await(u"a", reader) == ticket);
  CHECK(raise(board, u"b", 1) == 0);
  CHECK(raise(board, u"a", 2) == 1);
  CHECK(raise(board, u"a", 3) == 0);
  const uint64_t next = board.await(u"a", reader);
  CHECK(next != ticket);
  CHECK(reader->waits());
  CHECK(raise(board, u"a", 4) == 1);
  CHECK_FALSE(reader->waits());
  const auto notices = reader->take();
  REQUIRE(notices.size() == 2);
  CHECK(notices[0].ticket == ticket);
  CHECK(notices[0].data->number == 2);
  CHECK(notices[1].ticket == next);
  CHECK(notices[1].data->number == 4);
  CHECK(reader->wakes() == 1);
  CHECK(reader->take().empty());
  CHECK(board.size() == 0);
}

TEST_CASE("all are told the same data, and the raiser gets its own ticket back") {
  NoticeBoard board;
  const std::vector<std::shared_ptr<Reader>> readers{std::make_shared<Reader>(), std::make_shared<Reader>(),
                                                     std::make_shared<Reader>()};
  std::vector<uint64_t> tickets;
  for (const auto& reader : readers) tickets.push_back(board.await(u"place", reader));
  std::vector<NoticeBoard::Ticket> others;
  CHECK(board.take(u"place", readers[1].get(), others) == tickets[1]);
  REQUIRE(others.size() == 2);
  const auto data = number(7);
  for (const auto& other : others) NoticeBoard::tell(other, data);
  CHECK(readers[1]->take().empty());
  CHECK(readers[0]->take().at(0).data == data);
  CHECK(readers[2]->take().at(0).data == data);
}

TEST_CASE("what was given back, or belongs to one that has ended, is not told") {
  NoticeBoard board;
  const auto one = std::make_shared<Reader>();
  const auto other = std::make_shared<Reader>();
  board.forget(u"a", board.await(u"a", one));
  CHECK_FALSE(one->waits());
  const uint64_t kept = board.await(u"a", other);
  board.forget(u"a", kept + 1);
  board.await(u"b", one);
  board.await(u"c", one);
  board.forget_all(*one);
  CHECK(board.size() == 1);
  CHECK(raise(board, u"a", 1) == 1);
  board.await(u"a", other);
  std::vector<NoticeBoard::Ticket> taken;
  board.take(u"a", nullptr, taken);
  other->end();
  for (const auto& ticket : taken) NoticeBoard::tell(ticket, number(2));
  CHECK(other->take().empty());
  CHECK(other->wakes() == 1);
}

TEST_CASE("places that differ by a lone surrogate are different places") {
  NoticeBoard board;
  const auto reader = std::make_shared<Reader>();
  const char16_t high[] = {0xd800, 0};
  const char16_t low[] = {0xdc00, 0};
  board.await(high, reader);
  CHECK(raise(board, low, 1) == 0);
  CHECK(raise(board, high, 2) == 1);
}

TEST_CASE("a lookout finds what comes, gives way to other work, and is not woken") {
  NoticeBoard board;
  const auto reader = std::make_shared<Reader>();
  const auto never = [] { return false; };
  // Nothing can come.
  CHECK_FALSE(reader->look_out(kGuardNs, never));
  board.await(u"a", reader);
  CHECK_FALSE(reader->look_out(kGuardNs, [] { return true; }));
  CHECK_FALSE(reader->look_out(0, never));
  CHECK(reader->look_out(kGuardNs, [&] {
    raise(board, u"a", 1);
    return false;
  }));
  CHECK(reader->wakes() == 0);
  CHECK(reader->look_out(kGuardNs, never));
  CHECK(reader->take().size() == 1);
  board.await(u"a", reader);
  raise(board, u"a", 2);
  CHECK(reader->wakes() == 1);
}

TEST_CASE("threads that raise what others wait for: each ticket once, each raiser in its order") {
  constexpr uint32_t kRaisers = 3;
  constexpr uint32_t kReaders = 3;
  const uint64_t each = rounds(20'000);
  NoticeBoard board;
  std::atomic<uint32_t> raising{kRaisers};
  std::atomic<uint64_t> told{0};
  std::atomic<uint64_t> heard{0};
  std::atomic<uint64_t> wrong{0};
  std::vector<std::function<void()>> bodies;
  for (uint32_t raiser = 0; raiser < kRaisers; ++raiser) {
    bodies.push_back([&, raiser] {
      const std::u16string place{static_cast<char16_t>(u'a' + raiser)};
      for (uint64_t i = 1; i <= each; ++i) told.fetch_add(raise(board, place, static_cast<double>(i)));
      raising.fetch_sub(1);
    });
  }
  for (uint32_t number_of_reader = 0; number_of_reader < kReaders; ++number_of_reader) {
    bodies.push_back([&, number_of_reader] {
      const auto reader = std::make_shared<Reader>();
      Random random(500 + number_of_reader);
      std::set<uint64_t> tickets[kRaisers];
      double last[kRaisers] = {};
      const auto hear = [&] {
        for (const Notice& notice : reader->take()) {
          uint32_t of = kRaisers;
          for (uint32_t raiser = 0; raiser < kRaisers; ++raiser) {
            if (tickets[raiser].erase(notice.ticket) == 1) of = raiser;
          }
          heard.fetch_add(1);
          if (of == kRaisers || notice.data->number <= last[of]) {
            wrong.fetch_add(1);
          } else {
            last[of] = notice.data->number;
          }
        }
      };
      while (raising.load() != 0) {
        for (uint32_t raiser = 0; raiser < kRaisers; ++raiser) {
          const std::u16string place{static_cast<char16_t>(u'a' + raiser)};
          tickets[raiser].insert(board.await(place, reader));
        }
        // Asleep, or on the lookout.
        if (random.one_in(2)) {
          reader->look_out(1'000'000, [&] { return raising.load() == 0; });
        } else {
          eventually([&] { return raising.load() == 0 || reader->wakes() != 0; });
        }
        hear();
      }
      hear();
      // What was not told can still be given back.
      for (uint32_t raiser = 0; raiser < kRaisers; ++raiser) {
        const std::u16string place{static_cast<char16_t>(u'a' + raiser)};
        for (const uint64_t ticket : tickets[raiser]) board.forget(place, ticket);
      }
      if (reader->waits()) wrong.fetch_add(1);
    });
  }
  run_together(bodies);
  CHECK(wrong == 0);
  CHECK(heard == told);
  CHECK(heard > 0);
  CHECK(board.size() == 0);
}

TEST_CASE("no wake-up is lost: a thread that only ever sleeps hears all it waits for") {
  const uint64_t laps = rounds(20'000);
  NoticeBoard board;
  const auto reader = std::make_shared<Reader>();
  std::atomic<uint64_t> waits_for{0};
  std::atomic<bool> failed{false};
  run_together({[&] {
                  for (uint64_t lap = 1; lap <= laps && !failed; ++lap) {
                    board.await(u"lap", reader);
                    waits_for.store(lap);
                    size_t heard = 0;
                    // Every third by a lookout, which may end in vain.
                    if (lap % 3 == 0 && reader->look_out(10'000, [] { return false; })) {
                      heard = reader->take().size();
                    }
                    while (heard == 0) {
                      if (!reader->sleep()) failed.store(true);
                      heard = reader->take().size();
                      if (failed) return;
                    }
                    if (heard != 1) failed.store(true);
                  }
                },
                [&] {
                  for (uint64_t lap = 1; lap <= laps && !failed; ++lap) {
                    if (!eventually([&] { return waits_for.load() >= lap || failed; })) failed.store(true);
                    raise(board, u"lap", static_cast<double>(lap));
                  }
                }});
  CHECK_FALSE(failed);
  CHECK(board.size() == 0);
}

TEST_CASE("readers that end while they are told") {
  constexpr uint32_t kRaisers = 2;
  const uint64_t laps = rounds(20'000);
  NoticeBoard board;
  std::atomic<bool> over{false};
  std::atomic<uint64_t> told{0};
  std::vector<std::function<void()>> bodies;
  for (uint32_t raiser = 0; raiser < kRaisers; ++raiser) {
    bodies.push_back([&] {
      while (!over) told.fetch_add(raise(board, u"a", 1));
    });
  }
  bodies.push_back([&] {
    for (uint64_t lap = 0; lap < laps; ++lap) {
      const auto reader = std::make_shared<Reader>();
      board.await(u"a", reader);
      if (lap % 2 == 0) board.await(u"b", reader);
      board.forget_all(*reader);
      reader->end();
      // A wake-up behind the end would touch what the thread has closed.
      const uint32_t wakes = reader->wakes();
      if (lap % 64 == 0) sleep_us(50);
      CHECK(reader->wakes() == wakes);
      CHECK(reader->take().empty());
    }
    over.store(true);
  });
  run_together(bodies);
  CHECK(board.size() == 0);
}

}  // namespace
