// Which requests belong to one transaction, which do not, and that nobody else can make our To tags.
#include <doctest/doctest.h>

#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "sip/transaction_key.h"
#include "test/support/seed.h"
#include "test/support/sip_request.h"
#include "test/support/stress.h"

using namespace sip_async;
using namespace sip_async::sip;
using test::SipRequest;

namespace {

const KeyMaker kKeys(0x0123'4567'89ab'cdefu, 0xfedc'ba98'7654'3210u);

Hash128 key_as(const std::string& text, Method as) {
  MessageIndex index;
  CAPTURE(text);
  REQUIRE(index_message(text.data(), text.size(), {}, index) == IndexStatus::kOk);
  return kKeys.transaction(text.data(), index, as);
}
Hash128 key_of(const SipRequest& request) {
  const std::string text = request.text();
  MessageIndex index;
  CAPTURE(text);
  REQUIRE(index_message(text.data(), text.size(), {}, index) == IndexStatus::kOk);
  return kKeys.transaction(text.data(), index, index.method);
}

SipRequest old_style() {
  SipRequest out;
  out.branch.clear();
  return out;
}

std::string slot_tag(const KeyMaker& keys, uint32_t index, uint32_t generation) {
  std::string out(KeyMaker::kTagBytes, '?');
  keys.write_slot_tag(index, generation, out.data());
  return out;
}
std::string stateless_tag(const KeyMaker& keys, const Hash128& key) {
  std::string out(KeyMaker::kTagBytes, '?');
  keys.write_stateless_tag(key, out.data());
  return out;
}

}  // namespace

TEST_CASE("with the magic cookie: branch, sent-by and method, and nothing else") {
  const SipRequest base;
  const Hash128 key = key_of(base);
  CHECK(key_of(base) == key);

  std::vector<SipRequest> same(7, base);
  same[0].uri = "sip:carol@example.org";
  same[1].from = "<sip:mallory@example.com>;tag=zz";
  same[2].to += ";tag=b2";
  same[3].call_id = "another@example.com";
  same[4].cseq = 77;
  same[5].via_params = ";received=192.0.2.7;rport=9";
  same[6].body = "v=0\r\n";
  for (const SipRequest& one : same) {
    CAPTURE(one.text());
    CHECK(key_of(one) == key);
  }

  std::vector<SipRequest> other(6, base);
  other[0].branch = "z9hG4bK-2";
  other[1].branch = "z9hG4bK-1a";
  other[2].branch = "z9hg4bK-1";  // no cookie, and another branch
  other[3].sent_by = "127.0.0.1:5061";
  other[4].sent_by = "127.0.0.2:5060";
  other[5].method = "OPTIONS";
  for (const SipRequest& one : other) {
    CAPTURE(one.text());
    CHECK_FALSE(key_of(one) == key);
  }
}

TEST_CASE("the host of sent-by compares in any case, the branch does not") {
  SipRequest lower, upper;
  lower.sent_by = "proxy.example.com:5060";
  upper.sent_by = "PROXY.Example.COM:5060";
  CHECK(key_of(lower) == key_of(upper));
  lower.sent_by = "[fe80::a]:5060";
  upper.sent_by = "[FE80::A]:5060";
  CHECK(key_of(lower) == key_of(upper));
  // Longer than one step of the folding.
  lower.sent_by = std::string(150, 'a') + ".b";
  upper.sent_by = std::string(149, 'A') + "a.B";
  CHECK(key_of(lower) == key_of(upper));
  upper.sent_by = std::string(149, 'A') + "c.B";
  CHECK_FALSE(key_of(lower) == key_of(upper));
  upper = lower;
  lower.branch = "z9hG4bKabc";
  upper.branch = "z9hG4bKABC";
  CHECK_FALSE(key_of(lower) == key_of(upper));
}

TEST_CASE("ACK and CANCEL are found as INVITE and are something else by themselves") {
  for (const SipRequest& invite : {SipRequest{}, old_style()}) {
    CAPTURE(invite.text());
    const Hash128 key = key_of(invite);
    CHECK(key_as(invite.ack("b2").text(), Method::kInvite) == key);
    CHECK(key_as(invite.as("CANCEL").text(), Method::kInvite) == key);
    CHECK_FALSE(key_of(invite.as("CANCEL")) == key);
    CHECK_FALSE(key_of(invite.as("ACK")) == key);
    CHECK_FALSE(key_of(invite.as("ACK")) == key_of(invite.as("CANCEL")));
  }
}

TEST_CASE("each method is a class of its own, unknown ones by their name") {
  const std::vector<std::string> methods = {"INVITE", "ACK",     "BYE",    "CANCEL",  "OPTIONS",   "REGISTER",
                                            "PRACK",  "INFO",    "NOTIFY", "PUBLISH", "SUBSCRIBE", "REFER",
                                            "UPDATE", "MESSAGE", "FOO",    "FOO2",    "invite",    "I"};
  std::set<std::pair<uint64_t, uint64_t>> seen;
  for (const std::string& method : methods) {
    const Hash128 key = key_of(SipRequest{}.as(method));
    CAPTURE(method);
    CHECK(seen.insert({key.high, key.low}).second);
  }
}

TEST_CASE("without the magic cookie: Request-URI, From tag, Call-ID, CSeq number and the topmost Via") {
  SipRequest base = old_style();
  for (const char* branch : {"", "17", "z9hG4bK"}) {
    base.branch = branch;
    CAPTURE(branch);
    const Hash128 key = key_of(base);
    CHECK(key_of(base) == key);
    std::vector<SipRequest> same(3, base);
    same[0].to += ";tag=b2";
    same[1].from = "\"Alice\" <sip:alice@example.net>;tag=a1";
    same[2].more = "Via: SIP/2.0/UDP 192.0.2.9\r\n";
    for (const SipRequest& one : same) CHECK(key_of(one) == key);

    std::vector<SipRequest> other(7, base);
    other[0].uri = "sip:bob@example.com;x";
    other[1].from = "<sip:alice@example.com>;tag=a2";
    other[2].call_id = "2@example.com";
    other[3].cseq = 2;
    other[4].sent_by = "127.0.0.1:5061";
    other[5].via_params = ";rport;x=y";
    other[6].method = "BYE";
    for (const SipRequest& one : other) {
      CAPTURE(one.text());
      CHECK_FALSE(key_of(one) == key);
    }
  }
}

TEST_CASE("no two of many random requests have the same key, and each is found again") {
  const uint64_t count = test::kSanitized ? 20'000 : 100'000;
  test::Random random(1);
  std::unordered_map<uint64_t, uint64_t> by_low;  // half of the key: a collision of it is one in 2^31 here
  by_low.reserve(count);
  const char* const methods[] = {"INVITE", "OPTIONS", "BYE", "REGISTER", "XYZ"};
  for (uint64_t i = 0; i < count; ++i) {
    SipRequest request;
    request.method = methods[random.below(5)];
    // Neighbours that differ in a few characters, split between the fields in different places.
    const std::string number = std::to_string(i);
    const size_t cut = random.below(number.size() + 1);
    request.sent_by =
        std::string("h").append(number, 0, cut).append("x:").append(std::to_string(random.between(1, 65535)));
    if (random.one_in(3)) {
      request.branch = random.one_in(2) ? "" : number.substr(cut);
      request.call_id = number + "@h" + std::to_string(random.below(10));
      request.cseq = static_cast<uint32_t>(random.bits());
    } else {
      request.branch = "z9hG4bK" + number + "y" + number.substr(cut);
    }
    const Hash128 key = key_of(request);
    REQUIRE(by_low.emplace(key.low, key.high).second);
    if (!random.one_in(8)) continue;
    request.to += ";tag=t" + number;
    REQUIRE(key_of(request) == key);
  }
  CHECK(by_low.size() == count);
}

TEST_CASE("without the secret the key cannot be told") {
  const std::string text = SipRequest{}.text();
  MessageIndex index;
  REQUIRE(index_message(text.data(), text.size(), {}, index) == IndexStatus::kOk);
  const KeyMaker one, two;
  const Hash128 a = one.transaction(text.data(), index, Method::kInvite);
  const Hash128 b = two.transaction(text.data(), index, Method::kInvite);
  CHECK_FALSE(a == b);
  CHECK(slot_tag(one, 1, 1) != slot_tag(two, 1, 1));
}

TEST_CASE("a slot tag leads back to its slot") {
  test::Random random(2);
  const uint32_t edges[] = {0, 1, 0x7fff'ffff, 0x8000'0000, 0xffff'ffff};
  for (int round = 0; round < 5000; ++round) {
    const uint32_t index = round < 25 ? edges[round / 5] : static_cast<uint32_t>(random.bits());
    const uint32_t generation = round < 25 ? edges[round % 5] : static_cast<uint32_t>(random.bits());
    const std::string tag = slot_tag(kKeys, index, generation);
    CAPTURE(tag);
    // A token of RFC 3261: letters and digits do.
    REQUIRE(tag.find_first_not_of("0123456789abcdef") == std::string::npos);
    uint32_t index_read = ~index, generation_read = ~generation;
    REQUIRE(kKeys.read_slot_tag(tag, index_read, generation_read));
    REQUIRE(index_read == index);
    REQUIRE(generation_read == generation);
  }
}

TEST_CASE("a forged slot tag is refused and leaves the caller's numbers alone") {
  test::Random random(3);
  const std::string tag = slot_tag(kKeys, 17, 4);
  uint32_t index = 123, generation = 456;
  const auto refused = [&](const std::string& forged) {
    CAPTURE(forged);
    CHECK_FALSE(kKeys.read_slot_tag(forged, index, generation));
    CHECK(index == 123);
    CHECK(generation == 456);
  };
  for (size_t at = 0; at < tag.size(); ++at) {
    for (const char c : std::string("0123456789abcdefABCDEFgxX+- \0", 29)) {
      if (c == tag[at]) continue;
      std::string forged = tag;
      forged[at] = c;
      refused(forged);
    }
  }
  for (size_t size = 0; size < tag.size(); ++size) refused(tag.substr(0, size));
  refused(tag + "0");
  refused(tag.substr(0, 16) + slot_tag(kKeys, 17, 5).substr(16));
  refused(slot_tag(KeyMaker(1, 2), 17, 4));
  refused(stateless_tag(kKeys, Hash128{1, 2}));
  for (int round = 0; round < 2000; ++round) {
    std::string forged;
    for (size_t i = 0; i < KeyMaker::kTagBytes; ++i) forged += "0123456789abcdef"[random.below(16)];
    refused(forged);
  }
}

TEST_CASE("a stateless tag belongs to one key") {
  const Hash128 key = key_of(SipRequest{});
  const std::string tag = stateless_tag(kKeys, key);
  CHECK(tag.size() == KeyMaker::kTagBytes);
  CHECK(tag.find_first_not_of("0123456789abcdef") == std::string::npos);
  CHECK(kKeys.is_stateless_tag(tag, key));
  CHECK_FALSE(kKeys.is_stateless_tag(tag, Hash128{key.high, key.low ^ 1}));
  CHECK_FALSE(kKeys.is_stateless_tag(tag, Hash128{key.high ^ 1, key.low}));
  CHECK_FALSE(kKeys.is_stateless_tag(tag, Hash128{key.low, key.high}));
  CHECK_FALSE(KeyMaker(1, 2).is_stateless_tag(tag, key));
  CHECK_FALSE(kKeys.is_stateless_tag("", key));
  CHECK_FALSE(kKeys.is_stateless_tag(tag.substr(1), key));
  CHECK_FALSE(kKeys.is_stateless_tag(tag + "0", key));
  CHECK_FALSE(kKeys.is_stateless_tag(slot_tag(kKeys, 1, 1), key));
  for (size_t at = 0; at < tag.size(); ++at) {
    std::string forged = tag;
    forged[at] = forged[at] == '0' ? '1' : '0';
    CHECK_FALSE(kKeys.is_stateless_tag(forged, key));
  }
}
