#include "sip/loop_check.h"

#include "core/random_key.h"
#include "core/siphash.h"
#include "sip/via.h"

namespace sip_async::sip {
namespace {

using core::SipHash;

// Values of one header, each ended so that they cannot run together. A header value holds no NUL.
void add_value(SipHash& hash, std::string_view value) {
  hash.add(value).separate();
}

bool is_proxy_authorization(const HeaderLine& line, const char* data) {
  return line.id == HeaderId::kOther && header_name_equals(line.name.of(data), "Proxy-Authorization");
}

// Whether is_wanted(branch) holds for a Via, whichever.
template <class Predicate>
bool any_branch(const char* data, size_t size, const MessageIndex& index, Predicate is_wanted) {
  HeaderLine line;
  for (uint16_t at = index.headers_at; next_header(data, size, at, line); at = line.end) {
    if (line.id != HeaderId::kVia) continue;
    const size_t end = size_t{line.value.offset} + line.value.length;
    // A value that is malformed is passed over; the next one begins behind its comma.
    for (size_t inside = line.value.offset; inside < end; ++inside) {
      ViaIndex via;
      if (read_first_via(data, inside, end, via) && is_wanted(via.branch.of(data))) return true;
    }
  }
  return false;
}

}  // namespace

uint64_t loop_hash(uint64_t key0, uint64_t key1, const char* data, size_t size, const MessageIndex& index,
                   std::string_view ruri) {
  // One hash for each header that may have several values: how the lines of different headers are mixed says nothing.
  SipHash routes(key0, key1), demands(key0, key1), credentials(key0, key1);
  HeaderLine line;
  for (uint16_t at = index.headers_at; next_header(data, size, at, line); at = line.end) {
    if (line.id == HeaderId::kRoute) {
      uint16_t inside = 0;
      for (Slice value; next_value(data, line.value, inside, value);) add_value(routes, value.of(data));
    } else if (line.id == HeaderId::kProxyRequire) {
      add_value(demands, line.value.of(data));
    } else if (is_proxy_authorization(line, data)) {
      add_value(credentials, line.value.of(data));
    }
  }
  SipHash hash(key0, key1);
  add_value(hash, ruri);
  add_value(hash, index.from.tag.of(data));
  add_value(hash, index.to.tag.of(data));
  add_value(hash, index.call_id.of(data));
  hash.add_number(index.cseq_number);
  for (SipHash* part : {&routes, &demands, &credentials}) {
    const core::Hash128 value = part->finish();
    hash.add_number(value.high).add_number(value.low);
  }
  return hash.finish().low;
}

bool is_looped(const char* data, size_t size, const MessageIndex& index, std::string_view mark) {
  if (mark.empty()) return false;
  return any_branch(data, size, index, [mark](std::string_view branch) { return branch.ends_with(mark); });
}

LoopCheck::LoopCheck() {
  core::draw_key(key0_, key1_);
}

void LoopCheck::write_mark(const char* data, size_t size, const MessageIndex& index, char* out) const {
  static constexpr char kDigits[] = "0123456789abcdef";
  uint64_t hash = loop_hash(key0_, key1_, data, size, index, index.ruri.of(data));
  out[0] = '.';
  for (size_t i = kMarkBytes - 1; i > 0; --i, hash >>= 4) out[i] = kDigits[hash & 15];
}

bool LoopCheck::is_looped(const char* data, size_t size, const MessageIndex& index) const {
  char mark[kMarkBytes];
  bool has_mark = false;
  return any_branch(data, size, index, [&](std::string_view branch) {
    if (branch.size() < kMarkBytes || branch[branch.size() - kMarkBytes] != '.') return false;
    // Hardly any request carries something like a mark, so it is made only for one that does.
    if (!has_mark) write_mark(data, size, index, mark);
    has_mark = true;
    return branch.ends_with(std::string_view(mark, sizeof mark));
  });
}

}  // namespace sip_async::sip
