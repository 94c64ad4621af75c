// The header index against a naive model, over random valid messages and mutated ones. A run
// prints its seed; SIP_ASYNC_TEST_SEED repeats it.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "sip/guard.h"
#include "sip/header_index.h"

using namespace sip_async::sip;

namespace {

using Strings = std::vector<std::string>;

unsigned test_seed() {
  static const unsigned seed = [] {
    const char* given = std::getenv("SIP_ASYNC_TEST_SEED");
    unsigned value =
        given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : std::random_device{}();
    std::printf("SIP_ASYNC_TEST_SEED=%u\n", value);
    return value;
  }();
  return seed;
}

// The model: whole strings, copies, no cleverness.

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

std::string trimmed(const std::string& text) {
  size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// A copy in which folds are spaces; no offset changes.
std::string unfolded(std::string text, size_t headers_end) {
  for (size_t i = 0; i + 1 < headers_end; ++i) {
    if (text[i] != '\n' || (text[i + 1] != ' ' && text[i + 1] != '\t')) continue;
    text[i] = ' ';
    if (i > 0 && text[i - 1] == '\r') text[i - 1] = ' ';
  }
  return text;
}

Strings split_outside(const std::string& text, char separator) {
  Strings out(1);
  bool in_quotes = false;
  bool in_angles = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (in_quotes && c == '\\') {
      out.back() += c;
      c = text[++i];
    } else if (c == '"' && !in_angles) {
      in_quotes = !in_quotes;
    } else if (c == '<' && !in_quotes) {
      in_angles = true;
    } else if (c == '>' && !in_quotes) {
      in_angles = false;
    } else if (c == separator && !in_quotes && !in_angles) {
      out.emplace_back();
      continue;
    }
    out.back() += c;
  }
  for (std::string& one : out) one = trimmed(one);
  return out;
}

std::map<std::string, std::string> params_of(const Strings& parts) {
  std::map<std::string, std::string> out;
  for (size_t i = 1; i < parts.size(); ++i) {
    size_t equals = parts[i].find('=');
    std::string value = equals == std::string::npos ? "" : trimmed(parts[i].substr(equals + 1));
    out[lower(trimmed(parts[i].substr(0, equals)))] = value;
  }
  return out;
}

struct ModelAddress {
  std::string value, uri, user, tag;
};

ModelAddress model_address(const std::string& value) {
  ModelAddress out;
  out.value = value;
  Strings parts = split_outside(value, ';');
  out.uri = parts[0];
  out.tag = params_of(parts)["tag"];
  bool in_quotes = false;
  for (size_t i = 0; i < value.size(); ++i) {
    if (in_quotes && value[i] == '\\') {
      ++i;
    } else if (value[i] == '"') {
      in_quotes = !in_quotes;
    } else if (value[i] == '<' && !in_quotes) {
      out.uri = value.substr(i + 1, value.find('>', i) - i - 1);
      break;
    }
  }
  std::string scheme = lower(out.uri.substr(0, out.uri.find(':')));
  std::string rest = out.uri.substr(out.uri.find(':') + 1);
  if (scheme == "tel") out.user = rest.substr(0, rest.find(';'));
  if ((scheme == "sip" || scheme == "sips") && rest.find('@') != std::string::npos) {
    out.user = rest.substr(0, rest.find('@'));
    out.user = out.user.substr(0, out.user.find(':'));
  }
  return out;
}

struct Model {
  std::string start, first_word, call_id, cseq, contact, user_agent, body;
  ModelAddress from, to;
  std::string via, via_host, via_transport, via_branch, via_received;
  int via_port = 0;
  bool has_rport = false;
  size_t via_count = 0, header_count = 0;
  int max_forwards = -1;
};

Model read_model(const std::string& raw) {
  Model out;
  size_t at = 0;
  while (raw[at] == '\r' || raw[at] == '\n') ++at;
  size_t headers_end = at;
  for (;;) {
    size_t line_end = raw.find('\n', headers_end);
    bool is_empty = line_end == headers_end || (line_end == headers_end + 1 && raw[headers_end] == '\r');
    headers_end = line_end + 1;
    if (is_empty) break;
  }
  std::string text = unfolded(raw, headers_end);
  out.body = raw.substr(headers_end);

  static const std::map<std::string, std::string> kCompact = {
      {"v", "via"}, {"f", "from"}, {"t", "to"}, {"i", "call-id"}, {"m", "contact"}, {"l", "content-length"}};
  auto take_line = [&text, &at] {
    size_t end = text.find('\n', at);
    std::string line = text.substr(at, end - at);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    at = end + 1;
    return line;
  };
  out.start = take_line();
  out.first_word = out.start.substr(0, out.start.find(' '));
  while (at < headers_end) {
    std::string line = take_line();
    if (line.empty()) break;
    ++out.header_count;
    std::string name = lower(trimmed(line.substr(0, line.find(':'))));
    if (auto known = kCompact.find(name); known != kCompact.end()) name = known->second;
    std::string value = trimmed(line.substr(line.find(':') + 1));
    if (name == "from") out.from = model_address(value);
    if (name == "to") out.to = model_address(value);
    if (name == "call-id") out.call_id = value;
    if (name == "cseq") out.cseq = value;
    if (name == "contact" && out.contact.empty()) out.contact = value;
    if (name == "user-agent" && out.user_agent.empty()) out.user_agent = value;
    if (name == "max-forwards") out.max_forwards = std::stoi(value);
    if (name == "content-length") out.body.resize(std::stoul(value));
    if (name != "via") continue;
    Strings values = split_outside(value, ',');
    if (out.via_count == 0) {
      out.via = values[0];
      Strings parts = split_outside(values[0], ';');
      std::string sent = trimmed(parts[0].substr(parts[0].rfind('/') + 1));
      out.via_transport = lower(sent.substr(0, sent.find_first_of(" \t")));
      std::string host_port = trimmed(sent.substr(sent.find_first_of(" \t")));
      size_t colon = host_port.find(':', host_port[0] == '[' ? host_port.find(']') : 0);
      out.via_host = trimmed(host_port.substr(0, colon));
      if (colon != std::string::npos) out.via_port = std::stoi(trimmed(host_port.substr(colon + 1)));
      auto params = params_of(parts);
      out.via_branch = params["branch"];
      out.via_received = params["received"];
      params = params_of(parts);
      out.has_rport = params.count("rport") != 0;
    }
    out.via_count += values.size();
  }
  return out;
}

bool check_against_model(const std::string& raw, const MessageIndex& index) {
  Model model = read_model(raw);
  std::string text = unfolded(raw, index.body.offset);
  auto same = [&text](Slice slice, const std::string& wanted) {
    CHECK(std::string(slice.of(text.data())) == wanted);
    return slice.of(text.data()) == wanted;
  };
  auto equal = [](auto a, auto b) {
    CHECK(a == b);
    return a == b;
  };
  bool ok = true;
  for (const auto& [address, wanted] :
       {std::pair{&index.from, &model.from}, std::pair{&index.to, &model.to}}) {
    ok &= same(address->value, wanted->value);
    ok &= same(address->uri, wanted->uri);
    ok &= same(address->user, wanted->user);
    ok &= same(address->tag, wanted->tag);
  }
  ok &= same(index.call_id, model.call_id);
  ok &= same(index.cseq, model.cseq);
  ok &= same(index.contact, model.contact);
  ok &= same(index.user_agent, model.user_agent);
  ok &= same(index.via.value, model.via);
  ok &= same(index.via.host, model.via_host);
  ok &= same(index.via.branch, model.via_branch);
  ok &= same(index.via.received, model.via_received);
  ok &= equal(int{index.via.port}, model.via_port);
  ok &= equal(index.via.has_rport, model.has_rport);
  ok &= equal(index.via.transport == Transport::kUdp, model.via_transport == "udp");
  ok &= equal(size_t{index.via_count}, model.via_count);
  ok &= equal(size_t{index.header_count}, model.header_count);
  ok &= equal(int{index.max_forwards}, model.max_forwards);
  ok &= equal(size_t{index.cseq_number}, size_t{std::stoul(model.cseq)});
  ok &= equal(std::string(index.body.of(raw.data())), model.body);
  ok &= equal(lower(model.first_word) != "sip/2.0", index.is_request);
  if (index.is_request) ok &= equal(std::string(index.method_name.of(raw.data())), model.first_word);
  if (!ok) MESSAGE("message:\n" << raw);
  return ok;
}

// Every slice of the index, and every header and value, lies in the message. Plain code, since it runs by the
// million.
bool is_inside(const char* data, size_t size, const MessageIndex& x) {
  for (Slice s :
       {x.method_name,  x.ruri,       x.reason,   x.via.value, x.via.sent_by, x.via.host,   x.via.branch,
        x.via.received, x.from.value, x.from.uri, x.from.user, x.from.tag,    x.to.value,   x.to.uri,
        x.to.user,      x.to.tag,     x.call_id,  x.cseq,      x.contact,     x.user_agent, x.body}) {
    if (size_t{s.offset} + s.length > size) return false;
  }
  if (x.headers_at > size || x.via.rport_at > size) return false;
  if (x.status == IndexStatus::kTooLarge || x.status == IndexStatus::kKeepAlive) return true;
  HeaderLine line;
  for (uint16_t at = x.headers_at; next_header(data, size, at, line); at = line.end) {
    if (line.end <= at || line.end > size || size_t{line.name.offset} + line.name.length > size) return false;
    if (size_t{line.value.offset} + line.value.length > line.end) return false;
    Slice value;
    uint16_t last = 0;
    for (uint16_t from = 0; next_value(data, line.value, from, value); last = from) {
      if (from <= last || from > line.value.length || value.empty() || value.offset < line.value.offset)
        return false;
      if (size_t{value.offset} + value.length > size_t{line.value.offset} + line.value.length) return false;
      ViaIndex via;
      read_via(data, value, via);
      if (size_t{via.branch.offset} + via.branch.length > size) return false;
    }
  }
  return true;
}

class Writer {
 public:
  explicit Writer(unsigned seed) : random_(seed) {}

  size_t below(size_t limit) { return std::uniform_int_distribution<size_t>(0, limit - 1)(random_); }
  bool chance(size_t one_in) { return below(one_in) == 0; }
  std::string pick(const Strings& from) { return from[below(from.size())]; }

  std::string message() {
    Strings lines = {header("Via", "v", via_list()), header("From", "f", address()),
                     header("To", "t", address()), header("Call-ID", "i", pick({"a@b", "x%Z<>{}", "c-1"}))};
    bool is_request = !chance(3);
    std::string method = pick({"INVITE", "OPTIONS", "BYE", "X-.!%*_+`'~Y"});
    lines.push_back(
        header("CSeq", "", std::to_string(below(5000)) + pick({" ", "  ", "\t", "\r\n "}) + method));
    for (size_t more = below(3); more > 0; --more) lines.push_back(header("Via", "v", via_list()));
    for (size_t more = below(4); more > 0; --more) lines.push_back(filler());
    if (chance(2)) lines.push_back(header("Max-Forwards", "", std::to_string(below(256))));
    for (size_t more = below(3); more > 0; --more)
      lines.push_back(header("Contact", "m", address() + "," + address()));
    if (chance(2)) lines.push_back(header("User-Agent", "", pick({"x", "\"a\": b, c;d", "\xc3\xa4 1"})));
    std::string body = pick({"", "v=0\r\no=x\r\n", "\r\n\r\nVia: no\r\n", std::string("\0\xff\x01", 3)});
    if (chance(2)) {
      lines.push_back(header("Content-Length", "l", "0" + std::to_string(body.size())));
      body += pick({"", "rest"});
    }
    std::shuffle(lines.begin(), lines.end(), random_);

    std::string text = pick({"", "", "\r\n", "\r\n\r\n"});
    text += is_request
                ? method + " " + pick({"sip:b@h", "sips:[::1]:5061;lr", "tel:+1", "x.y:z"}) + " SIP/2.0"
                : "SIP/2.0 " + std::to_string(100 + below(600)) + pick({" OK", " ", " Not: here"});
    text += "\r\n";
    for (const std::string& line : lines) text += line + (chance(12) ? "\n" : "\r\n");
    return text + "\r\n" + body;
  }

 private:
  std::string gap() { return pick({"", "", "", " ", "\t", "  ", "\r\n ", " \r\n\t "}); }

  std::string header(const std::string& name, const std::string& compact, const std::string& value) {
    std::string written = compact.empty() || chance(2) ? name : compact;
    for (char& c : written) {
      if (chance(3)) c = chance(2) ? static_cast<char>(toupper(c)) : static_cast<char>(tolower(c));
    }
    return written + pick({"", "", " ", "\t "}) + ":" + gap() + value + gap();
  }

  std::string quoted() {
    return "\"" + pick({"", "a", ",;<sip:no@h>;tag=no", "\\\"\\\\", "Q \\\" , x", "\xc3\xa4"}) + "\"";
  }

  std::string param(const std::string& name, const std::string& value) {
    return gap() + ";" + gap() + name + (value.empty() ? "" : gap() + "=" + gap() + value);
  }

  std::string via() {
    std::string out = pick({"SIP", "sip"}) + gap() + "/" + gap() + "2.0" + gap() + "/" + gap();
    out += pick({"UDP", "udp", "TCP", "TLS", "WSS", "SCTP"}) + pick({" ", "\t ", "\r\n "});
    out += pick({"h.example.com", "192.0.2.1", "[2001:db8::1]", "a_b"});
    if (chance(2)) out += gap() + ":" + gap() + std::to_string(1 + below(65535));
    if (chance(3)) out += param("x", chance(2) ? quoted() : "");
    if (!chance(4)) out += param(pick({"branch", "Branch"}), pick({"z9hG4bK1", "z9hG4bK+a=b:c@d", "1"}));
    if (chance(3)) out += param("rport", pick({"", "5060"}));
    if (chance(3)) out += param("received", pick({"192.0.2.9", "[::1]", "::1"}));
    return out;
  }

  std::string via_list() {
    std::string out = via();
    for (size_t more = below(3); more > 0; --more) out += gap() + "," + gap() + via();
    return out;
  }

  std::string address() {
    std::string uri =
        pick({"sip:a@h", "sips:u:p@[::1]:5061", "tel:+49;ext=1", "sip:h:5060", "SIP:%00x@h", "http://h/p@q"});
    std::string out;
    if (chance(4) && uri.find(';') == std::string::npos) {
      out = uri;
    } else {
      out = pick({"", "plain", "two words", quoted(), quoted()}) + gap() + "<" + uri +
            pick({"", ";tag=inside", "?h=v"}) + ">";
    }
    if (chance(3)) out += param("y", chance(2) ? quoted() : pick({"", "1"}));
    if (!chance(3)) out += param(pick({"tag", "TAG"}), pick({"1", "a-b.c~", "x=y"}));
    return out;
  }

  std::string filler() {
    std::string name =
        pick({"Subject", "s", "Allow", "X-Via", "Viaa", "Fro", "P-Asserted-Identity", "x-.!%*_+`'~"});
    return header(name, "", pick({"", "a", "\"open, <quote", "a,,b;;=\xc3\xa4", "\r\n x"}));
  }

  std::mt19937 random_;
};

std::string mutated(std::string text, Writer& random) {
  static const std::string kNasty("\r\n\0\t \"<>;:,@=\\%/[]\x7f\xff*", 22);
  for (size_t edits = 1 + random.below(4); edits > 0 && !text.empty(); --edits) {
    size_t at = random.below(text.size());
    switch (random.below(5)) {
      case 0:
        text[at] = static_cast<char>(random.below(256));
        break;
      case 1:
        text[at] = kNasty[random.below(kNasty.size())];
        break;
      case 2:
        text.insert(at, 1, kNasty[random.below(kNasty.size())]);
        break;
      case 3:
        text.erase(at, 1 + random.below(random.chance(4) ? 200 : 3));
        break;
      default:
        text.insert(at, text.substr(random.below(text.size()), random.below(40)));
        break;
    }
  }
  return text;
}

}  // namespace

TEST_CASE("random valid messages are read as the model reads them") {
  Writer writer(test_seed());
  for (int i = 0; i < 20000; ++i) {
    std::string text = writer.message();
    MessageIndex index;
    IndexStatus status = index_message(text.data(), text.size(), {}, index);
    if (status != IndexStatus::kOk) {
      FAIL("status " << index_status_name(status) << " for:\n" << text);
    }
    if (!check_against_model(text, index)) break;
    if (!is_inside(text.data(), text.size(), index)) FAIL("a slice lies outside of:\n" << text);
  }
}

TEST_CASE("mutated messages stay inside their bytes, and what is accepted is read as the model reads it") {
  using Clock = std::chrono::steady_clock;
  Writer writer(test_seed() + 1);
  std::vector<size_t> seen(static_cast<size_t>(IndexStatus::kCount));
  auto end = Clock::now() + std::chrono::seconds(6);
  int done = 0;
  std::string valid;
  for (; done < 200000 && Clock::now() < end; ++done) {
    if (done % 8 == 0) valid = writer.message();
    std::string text = mutated(valid, writer);
    // A block of exactly this size, so that a sanitizer sees one byte too many.
    std::vector<char> block(text.begin(), text.end());
    MessageIndex index;
    IndexStatus status = index_message(block.data(), block.size(), {}, index);
    ++seen[static_cast<size_t>(status)];
    if (!is_inside(block.data(), block.size(), index)) FAIL("a slice lies outside of:\n" << text);
    guard_message(block.data(), block.size(), index);
    if (is_answerable(index)) {
      std::string via_host(index.via.host.of(block.data()));
      if (via_host.find_first_of(" \r\n\t;,<>\"") != std::string::npos)
        FAIL("host with separators in:\n" << text);
    }
    if (status == IndexStatus::kOk && !check_against_model(text, index)) break;
  }
  std::printf("%d mutations, %zu still valid\n", done, seen[0]);
  CHECK(done > 1000);
  CHECK(seen[static_cast<size_t>(IndexStatus::kOk)] > 0);
  for (IndexStatus status : {IndexStatus::kBadStartLine, IndexStatus::kNoHeaderEnd, IndexStatus::kBadHeader,
                             IndexStatus::kMissingHeader, IndexStatus::kBadVia, IndexStatus::kBadFromTo}) {
    CAPTURE(index_status_name(status));
    CHECK(seen[static_cast<size_t>(status)] > 0);
  }
}

TEST_CASE("every prefix of a message is read inside its bytes") {
  Writer writer(test_seed() + 2);
  for (int i = 0; i < 20; ++i) {
    std::string text = writer.message();
    for (size_t size = 0; size < text.size(); ++size) {
      std::vector<char> block(text.begin(), text.begin() + static_cast<ptrdiff_t>(size));
      MessageIndex index;
      index_message(block.data(), size, {}, index);
      if (!is_inside(block.data(), size, index))
        FAIL("a slice lies outside of the first " << size << " bytes of:\n" << text);
    }
  }
}
