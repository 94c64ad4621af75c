#include "sip/transaction_key.h"

#include <charconv>
#include <cstring>

#include "core/random_key.h"
#include "sip/branch.h"

namespace sip_async::sip {

namespace {

constexpr std::string_view kMagicCookie = "z9hG4bK";
constexpr std::string_view kStateless = "stateless.........";
static_assert(kMagicCookie.size() + kStateless.size() + 32 == kBranchIdBytes);

// Host names compare in any case; the bytes that are hashed are folded, and a folded '[' or ':' stays what it is.
void add_folded(SipHash& hash, std::string_view text) {
  char folded[64];
  while (!text.empty()) {
    const size_t part = text.size() < sizeof folded ? text.size() : sizeof folded;
    for (size_t i = 0; i < part; ++i) {
      folded[i] = text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] + ('a' - 'A')) : text[i];
    }
    hash.add({folded, part});
    text.remove_prefix(part);
  }
}

void write_hex(char* out, uint64_t value, int digits) {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (int i = digits - 1; i >= 0; --i, value >>= 4) out[i] = kDigits[value & 15];
}

bool read_hex(std::string_view text, uint64_t& out) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), out, 16);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

constexpr uint64_t kTagMask = 0xffff'ffff'fffful;

}  // namespace

KeyMaker::KeyMaker() {
  core::draw_key(key0_, key1_);
}

Hash128 KeyMaker::transaction(const char* data, const MessageIndex& index, Method as) const {
  SipHash hash(key0_, key1_);
  if (as == Method::kOther) {
    hash.add(index.method_name.of(data));
  } else {
    hash.separate(static_cast<uint8_t>(as));
  }
  hash.separate();
  const std::string_view branch = index.via.branch.of(data);
  if (branch.size() > kMagicCookie.size() && branch.substr(0, kMagicCookie.size()) == kMagicCookie) {
    hash.add(branch).separate();
    add_folded(hash, index.via.host.of(data));
    hash.separate().add_number(index.via.port);
    return hash.finish();
  }
  hash.separate(1).add(index.ruri.of(data)).separate().add(index.from.tag.of(data)).separate();
  hash.add(index.call_id.of(data)).separate().add_number(index.cseq_number).add(index.via.value.of(data));
  return hash.finish();
}

void KeyMaker::write_slot_tag(uint32_t index, uint32_t generation, char* out) const {
  SipHash mac(key0_, key1_);
  mac.separate(2).add_number(uint64_t{generation} << 32 | index);
  write_hex(out, index, 8);
  write_hex(out + 8, generation, 8);
  write_hex(out + 16, mac.finish().low & kTagMask, 12);
}

bool KeyMaker::read_slot_tag(std::string_view tag, uint32_t& index, uint32_t& generation) const {
  uint64_t first = 0, second = 0;
  if (tag.size() != kTagBytes || !read_hex(tag.substr(0, 8), first) || !read_hex(tag.substr(8, 8), second))
    return false;
  char expected[kTagBytes];
  write_slot_tag(static_cast<uint32_t>(first), static_cast<uint32_t>(second), expected);
  if (tag != std::string_view(expected, kTagBytes)) return false;
  index = static_cast<uint32_t>(first);
  generation = static_cast<uint32_t>(second);
  return true;
}

void KeyMaker::write_branch(const BranchId& id, char* out) const {
  SipHash mac(key0_, key1_);
  mac.separate(4).add_number(uint64_t{id.generation} << 32 | id.index).separate(id.attempt);
  const Hash128 value = mac.finish();
  memcpy(out, kMagicCookie.data(), kMagicCookie.size());
  out += kMagicCookie.size();
  write_hex(out, id.index, 8);
  write_hex(out + 8, id.generation, 8);
  write_hex(out + 16, id.attempt, 2);
  write_hex(out + 18, value.high, 16);
  write_hex(out + 34, value.low, 16);
}

bool KeyMaker::read_branch(std::string_view branch, BranchId& out) const {
  if (branch.size() < kBranchIdBytes || branch.substr(0, kMagicCookie.size()) != kMagicCookie) return false;
  branch = branch.substr(0, kBranchIdBytes);
  const std::string_view id = branch.substr(kMagicCookie.size());
  uint64_t index = 0, generation = 0, attempt = 0;
  if (!read_hex(id.substr(0, 8), index) || !read_hex(id.substr(8, 8), generation) ||
      !read_hex(id.substr(16, 2), attempt)) {
    return false;
  }
  out = {static_cast<uint32_t>(index), static_cast<uint32_t>(generation), static_cast<uint8_t>(attempt)};
  char expected[kBranchIdBytes];
  write_branch(out, expected);
  return branch == std::string_view(expected, kBranchIdBytes);
}

void KeyMaker::write_stateless_branch(const Hash128& key, char* out) const {
  SipHash hash(key0_, key1_);
  const Hash128 value = hash.separate(5).add_number(key.high).add_number(key.low).finish();
  memcpy(out, kMagicCookie.data(), kMagicCookie.size());
  out += kMagicCookie.size();
  memcpy(out, kStateless.data(), kStateless.size());
  write_hex(out + kStateless.size(), value.high, 16);
  write_hex(out + kStateless.size() + 16, value.low, 16);
}

Hash128 KeyMaker::lane(std::string_view call_id, uint16_t group) const {
  SipHash hash(key0_, key1_);
  return hash.separate(6).add_number(group).add(call_id).finish();
}

void KeyMaker::write_stateless_tag(const Hash128& key, char* out) const {
  SipHash mac(key0_, key1_);
  mac.separate(3).add_number(key.high).add_number(key.low);
  const Hash128 value = mac.finish();
  write_hex(out, value.high, 16);
  write_hex(out + 16, value.low & kTagMask, 12);
}

bool KeyMaker::is_stateless_tag(std::string_view tag, const Hash128& key) const {
  char expected[kTagBytes];
  write_stateless_tag(key, expected);
  return tag == std::string_view(expected, kTagBytes);
}

}  // namespace sip_async::sip
