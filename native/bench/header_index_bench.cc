// Nanoseconds per message of the header index and the guard: median of rounds, one thread, messages in cache.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "bench/samples.h"
#include "sip/guard.h"
#include "sip/header_index.h"

namespace {

using namespace sip_async::sip;
using sip_async::bench::kInvite;
using sip_async::bench::kOptions;

struct Sample {
  const char* name;
  std::string text;
};

const std::string kManyHeaders =
    "INVITE sip:bob@example.net SIP/2.0\r\n"
    "Via: SIP/2.0/UDP edge.example.com:5060;branch=z9hG4bK87asdks7;received=192.0.2.1\r\n"
    "Via: SIP/2.0/UDP core.example.com;branch=z9hG4bK77asjd, SIP/2.0/TCP 192.0.2.17;branch=z9hG4bKnashds8\r\n"
    "Record-Route: <sip:edge.example.com;lr>\r\n"
    "Record-Route: <sip:core.example.com;lr>\r\n"
    "Max-Forwards: 67\r\n"
    "From: \"Alice Liddell\" <sip:alice@example.com>;tag=1928301774\r\n"
    "To: \"Bob\" <sip:bob@example.net>\r\n"
    "Call-ID: a84b4c76e66710-0123456789@192.0.2.17\r\n"
    "CSeq: 314159 INVITE\r\n"
    "Contact: \"Alice\" <sip:alice@192.0.2.17:5060;transport=tcp>;expires=3600\r\n"
    "User-Agent: desk phone/2.11.4\r\n"
    "Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE, SUBSCRIBE, INFO, UPDATE\r\n"
    "Supported: replaces, timer, path\r\n"
    "Session-Expires: 1800;refresher=uac\r\n"
    "Min-SE: 90\r\n"
    "P-Asserted-Identity: <sip:alice@example.com>\r\n"
    "Privacy: none\r\n"
    "Accept: application/sdp\r\n"
    "Date: Thu, 21 Feb 2002 13:02:03 GMT\r\n"
    "Subject: lunch\r\n"
    "Content-Length: 0\r\n\r\n";

double elapsed_ns(std::chrono::steady_clock::time_point from) {
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - from).count();
}

template <typename Work>
double median_ns(Work work) {
  constexpr int kRounds = 21;
  constexpr int kMessages = 20000;
  std::vector<double> rounds;
  for (int round = 0; round < kRounds; ++round) {
    auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kMessages; ++i) work();
    rounds.push_back(elapsed_ns(begin) / kMessages);
  }
  std::nth_element(rounds.begin(), rounds.begin() + kRounds / 2, rounds.end());
  return rounds[kRounds / 2];
}

}  // namespace

int main() {
  const Sample samples[] = {
      {"OPTIONS", kOptions}, {"INVITE with SDP", kInvite}, {"21 headers", kManyHeaders}};
  IndexLimits limits;
  unsigned refused = 0;
  for (const Sample& sample : samples) {
    const char* data = sample.text.data();
    size_t size = sample.text.size();
    MessageIndex index;
    double index_ns =
        median_ns([&] { refused += index_message(data, size, limits, index) != IndexStatus::kOk; });
    double guard_ns = median_ns([&] { refused += guard_message(data, size, index) != IndexStatus::kOk; });
    std::printf("index: %s, %zu bytes\t%.1f\tns\n", sample.name, size, index_ns);
    std::printf("guard: %s, %zu bytes\t%.1f\tns\n", sample.name, size, guard_ns);
  }
  if (refused != 0) std::fprintf(stderr, "%u messages were refused\n", refused);
  return refused == 0 ? 0 : 1;
}
