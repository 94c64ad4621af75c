// The longest that any message keeps a receiver: CPU time of the header index, of the guard, and of the whole way through
// the transaction layer with a reply. Over all files of the folder that is named (the vectors of test/vectors), and over
// messages of the largest size that are made here. What counts is the message that takes longest; of each, the least of
// several repetitions, since what is more is the machine's.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "sip/guard.h"
#include "sip/transaction_layer.h"

namespace {

using namespace sip_async;
using core::Status;
using sip::IndexLimits;
using sip::IndexStatus;
using sip::MessageIndex;

constexpr int kRepetitions = 15;
constexpr size_t kLargestDatagram = 65507;

struct Message {
  std::string name;
  std::string text;
};

double cpu_us() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

template <class Work>
double least_us(Work work) {
  double least = 1e9;
  for (int i = 0; i < kRepetitions; ++i) {
    const double begin = cpu_us();
    work();
    least = std::min(least, cpu_us() - begin);
  }
  return least;
}

std::vector<Message> read_folder(const char* folder) {
  std::vector<Message> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path(), std::ios::binary);
    out.push_back({entry.path().filename(),
                   std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>())});
  }
  return out;
}

std::string repeated(const std::string& unit, size_t bytes) {
  std::string out;
  while (out.size() + unit.size() <= bytes) out += unit;
  return out;
}

// Messages of `size` bytes, filled up by every unit in every place.
std::vector<Message> largest(size_t size) {
  const std::string start = "OPTIONS sip:bob@example.com SIP/2.0\r\n";
  const std::string via = "Via: SIP/2.0/UDP h.example.com;branch=z9hG4bK1;rport\r\n";
  const std::string from = "From: <sip:alice@example.com>;tag=1\r\n";
  const std::string rest = "Call-ID: 1@h\r\nCSeq: 1 OPTIONS\r\n";
  const std::string to = "To: <sip:bob@example.com>\r\n";
  const std::vector<std::pair<std::string, std::string>> units = {
      {"commas", ","},
      {"quotes", "\""},
      {"backslashes", "\\"},
      {"escaped quotes", "\\\""},
      {"angles", "<"},
      {"pairs of angles", "<>"},
      {"semicolons", ";"},
      {"parameters", ";a=b"},
      {"short parameters", ";a"},
      {"colons", ":"},
      {"spaces", " "},
      {"folds", "\r\n "},
      {"letters", "a"},
      {"tokens", "a,"},
      {"percent signs", "%"},
      {"escapes", "%0d"},
      {"addresses", "<sip:a@b>,"},
      {"quoted", "\"a\","},
      {"Vias", "SIP/2.0/UDP h,"},
      {"reserved names", ";__proto_"},
      {"bytes of 0xa0", "\xa0"},
      {"at signs", "@"},
      {"question marks", "?"},
      {"quoted pairs of controls", "\"\\\x01\""},
  };
  const std::vector<std::pair<std::string, std::pair<std::string, std::string>>> places = {
      {"Via", {start + from + to + rest + "Via: SIP/2.0/UDP h", "\r\n\r\n"}},
      {"From", {start + via + to + rest + "From: ", "\r\n\r\n"}},
      {"To behind an angle", {start + via + from + rest + "To: <sip:", "\r\n\r\n"}},
      {"Contact", {start + via + from + to + rest + "Contact: ", "\r\n\r\n"}},
      {"Route", {start + via + from + to + rest + "Route: ", "\r\n\r\n"}},
      {"Authorization", {start + via + from + to + rest + "Authorization: ", "\r\n\r\n"}},
      {"another header", {start + via + from + to + rest + "X: ", "\r\n\r\n"}},
      {"request URI", {"OPTIONS sip:", " SIP/2.0\r\n" + via + from + to + rest + "\r\n"}},
      {"body", {start + via + from + to + rest + "\r\n", ""}},
  };
  std::vector<Message> out;
  for (const auto& [unit_name, unit] : units) {
    for (const auto& [place_name, place] : places) {
      const auto& [head, tail] = place;
      out.push_back(
          {unit_name + " in " + place_name, head + repeated(unit, size - head.size() - tail.size()) + tail});
    }
  }
  const std::string lines_head = start + via + from + to + rest;
  for (const char* line :
       {"x:\r\n", "Via: SIP/2.0/UDP h\r\n", "v:SIP/2.0/UDP h\r\n", "Contact: <sip:a@b>\r\n",
        "Route: <sip:a@b;lr>\r\n", "m:\"\r\n", "\n", "t:<sip:a@b>\r\n", "nonsense\r\n"}) {
    out.push_back({std::string("lines of ") + std::string(line).substr(0, 8),
                   lines_head + repeated(line, size - lines_head.size() - 2) + "\r\n"});
  }
  for (const char* line : {"X: ", "Contact: ", "Route: ", "Authorization: Digest "}) {
    const std::string full = line + repeated("a=\"b\",", 8000) + "\r\n";
    out.push_back({std::string("lines of 8,000 bytes: ") + line,
                   lines_head + repeated(full, size - lines_head.size() - 2) + "\r\n"});
  }
  return out;
}

struct Worst {
  double us = 0;
  std::string name;
  void see(double one, const std::string& title) {
    if (one <= us) return;
    us = one;
    name = title;
  }
  void print(const std::string& what) const {
    std::printf("%s\t%.1f\tus\n", what.c_str(), us);
    std::fprintf(stderr, "%s: %s\n", what.c_str(), name.c_str());
  }
};

// The way of a datagram: received, run, answered. A layer of its own for each, so that none is a retransmission.
double whole_way_us(const Message& message) {
  double least = 1e9;
  for (int i = 0; i < kRepetitions; ++i) {
    core::Engine engine({.slots = 16,
                         .payload_bytes = 1 << 20,
                         .receivers = 1,
                         .groups = {{.name = "default", .workers = 1}}});
    sip::Transports transport(engine, 1);
    sip::Address local;
    if (!sip::Address::parse("127.0.0.1", 0, local) || transport.socket(0).open(local, 1 << 16, false) != 0) {
      std::fprintf(stderr, "no socket\n");
      std::exit(1);
    }
    sip::TransactionLayer layer(engine, transport, {.max_transactions = 8});
    const sip::Hop from{transport.socket(0).local()};
    // The first in a process pays for its scratch memory.
    sip::Task warm{};
    layer.receive({"\r\n", 2, from, false}, warm);

    const double begin = cpu_us();
    sip::Task fresh{};
    if (layer.receive({message.text.data(), message.text.size(), from, false}, fresh) &&
        engine.begin_run(fresh, 0, core::now_ns()) == Status::kOk) {
      layer.reply(fresh, 404, {}, {}, false);
      layer.finish(fresh, sip::Outcome::kEnded);
    }
    least = std::min(least, cpu_us() - begin);
  }
  return least;
}

void measure(const char* title, const std::vector<Message>& messages, const IndexLimits& limits) {
  Worst index_worst, guard_worst;
  for (const Message& message : messages) {
    const char* data = message.text.data();
    const size_t size = message.text.size();
    MessageIndex index;
    index_worst.see(least_us([&] { index_message(data, size, limits, index); }), message.name);
    // As if it had been found good, so that every shape reaches the guard.
    if (index.status != IndexStatus::kKeepAlive && index.headers_at != 0) {
      index.status = IndexStatus::kOk;
      guard_worst.see(least_us([&] { guard_message(data, size, index); }), message.name);
    }
  }
  index_worst.print(std::string("header index, ") + title);
  guard_worst.print(std::string("guard, ") + title);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "Usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const std::vector<Message> vectors = read_folder(argv[1]);
  const std::vector<Message> full = largest(sip::kMaxMessageBytes);
  // As wide as the settings allow.
  const IndexLimits widest{.max_message_bytes = sip::kMaxMessageBytes,
                           .max_headers = 4096,
                           .max_line_bytes = 65535,
                           .max_vias = 256};
  measure("vectors", vectors, {});
  // Just within what the guard looks at; it refuses longer ones at once.
  measure("12,288 bytes", largest(12288), widest);
  measure("65,535 bytes", full, {});
  measure("65,535 bytes, widest limits", full, widest);
  Worst way;
  for (const Message& message : vectors) way.see(whole_way_us(message), message.name);
  way.print("received, run and answered, vectors");
  Worst full_way;
  for (const Message& message : largest(kLargestDatagram)) full_way.see(whole_way_us(message), message.name);
  full_way.print("received, run and answered, 65,507 bytes");
  std::fprintf(stderr, "%zu vectors, %zu of the largest size\n", vectors.size(), full.size());
  return 0;
}
