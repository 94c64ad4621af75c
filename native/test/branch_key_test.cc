// The branch parameters of what we send on: they lead back to the branch, and nobody else can make one.
#include <doctest/doctest.h>

#include <set>
#include <string>

#include "sip/branch.h"
#include "sip/transaction_key.h"
#include "test/support/seed.h"

using namespace sip_async;
using core::Hash128;
using sip::kBranchIdBytes;
using sip::KeyMaker;
using test::Random;

namespace {

std::string written(const KeyMaker& keys, const KeyMaker::BranchId& id) {
  std::string out(kBranchIdBytes, '?');
  keys.write_branch(id, out.data());
  return out;
}
std::string written_stateless(const KeyMaker& keys, const Hash128& key) {
  std::string out(kBranchIdBytes, '?');
  keys.write_stateless_branch(key, out.data());
  return out;
}
bool is_refused(const KeyMaker& keys, const std::string& branch) {
  KeyMaker::BranchId id{};
  return !keys.read_branch(branch, id);
}

}  // namespace

TEST_CASE("a branch leads back to slot, generation and attempt") {
  const KeyMaker keys;
  Random random(70);
  for (int i = 0; i < 2000; ++i) {
    KeyMaker::BranchId id{static_cast<uint32_t>(random.bits()), static_cast<uint32_t>(random.bits()),
                          static_cast<uint8_t>(random.bits())};
    if (i == 0) id = {0, 0, 0};
    if (i == 1) id = {UINT32_MAX, UINT32_MAX, UINT8_MAX};
    const std::string branch = written(keys, id);
    CHECK(branch.substr(0, 7) == "z9hG4bK");
    // A token (RFC 3261 section 25.1), whatever stands behind it, which is the loop mark.
    CHECK(branch.find_first_not_of("z9hG4bKacdef0123456789") == std::string::npos);
    for (const char* behind : {"", ".0123456789abcdef", "x"}) {
      KeyMaker::BranchId read{};
      REQUIRE(keys.read_branch(branch + behind, read));
      CHECK(read.index == id.index);
      CHECK(read.generation == id.generation);
      CHECK(read.attempt == id.attempt);
    }
  }
}

TEST_CASE("no other branch of the same length is taken for ours") {
  const KeyMaker keys(1, 2);
  const std::string branch = written(keys, {3, 4, 5});
  for (size_t at = 0; at < branch.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string other = branch;
      if (other[at] == static_cast<char>(byte)) continue;
      other[at] = static_cast<char>(byte);
      CAPTURE(other);
      CHECK(is_refused(keys, other));
    }
  }
  for (size_t size = 0; size < branch.size(); ++size) CHECK(is_refused(keys, branch.substr(0, size)));
  for (size_t from = 1; from < branch.size(); ++from) CHECK(is_refused(keys, branch.substr(from) + branch));
  // The parts of two branches that are both good.
  const std::string second = written(keys, {6, 7, 8});
  for (size_t cut = 1; cut < branch.size(); ++cut) {
    const std::string mixed = branch.substr(0, cut) + second.substr(cut);
    if (mixed != branch && mixed != second) CHECK(is_refused(keys, mixed));
  }
}

TEST_CASE("the branch of another proxy, of another start of this one, or of anybody is none of ours") {
  const KeyMaker keys(1, 2), others(1, 3), fresh;
  CHECK(is_refused(keys, written(others, {3, 4, 5})));
  CHECK(is_refused(keys, written(fresh, {3, 4, 5})));
  CHECK(written(KeyMaker(), {3, 4, 5}) != written(fresh, {3, 4, 5}));
  for (const char* foreign : {"", "z9hG4bK", "z9hG4bK-1", "z9hG4bK000000030000000405", "branch", "z9hG4bK "})
    CHECK(is_refused(keys, foreign));
  CHECK(is_refused(keys, "z9hG4bK" + std::string(kBranchIdBytes, '0')));
  CHECK(is_refused(keys, "z9hG4bK" + std::string(100'000, 'f')));
  CHECK(is_refused(keys, "z9hG4bK" + std::string("+0000003") + written(keys, {3, 4, 5}).substr(15)));
}

TEST_CASE("each attempt, each life and each slot has another branch") {
  const KeyMaker keys(1, 2);
  std::set<std::string> all;
  size_t count = 0;
  for (uint32_t index = 0; index < 8; ++index) {
    for (uint32_t generation = 0; generation < 8; ++generation) {
      for (int attempt = 0; attempt < 256; ++attempt, ++count) {
        // What tells them apart is the hash too, so that one cannot be made of another.
        all.insert(written(keys, {index, generation, static_cast<uint8_t>(attempt)}).substr(25));
      }
    }
  }
  CHECK(all.size() == count);
}

TEST_CASE("the branch of a request that is sent on without a transaction") {
  const KeyMaker keys(1, 2), others(1, 3);
  const Hash128 key{5, 6};
  const std::string branch = written_stateless(keys, key);
  CHECK(branch.substr(0, 16) == "z9hG4bKstateless");
  CHECK(branch.size() == kBranchIdBytes);
  CHECK(branch.find_first_not_of("abcdefghijklmnopqrstuvwxyzGK0123456789.") == std::string::npos);
  // The same for a repetition, another for another request or from another proxy.
  CHECK(written_stateless(keys, key) == branch);
  CHECK(written_stateless(keys, {6, 5}) != branch);
  CHECK(written_stateless(keys, {5, 7}) != branch);
  CHECK(written_stateless(others, key) != branch);
  // Never taken for the branch of a transaction, whatever its bits are.
  Random random(71);
  for (int i = 0; i < 2000; ++i)
    CHECK(is_refused(keys, written_stateless(keys, {random.bits(), random.bits()})));
}
