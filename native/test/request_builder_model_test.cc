// Forwarded requests and replies against a naive model that knows the parts a random message was made of, and mutated
// messages, of which whatever is built must be a message again. A run prints its seed; SIP_ASYNC_TEST_SEED repeats it.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "sip/request_builder.h"
#include "test/support/indexed_message.h"
#include "test/support/seed.h"
#include "test/support/stress.h"

using namespace sip_async;
using namespace sip_async::sip;
using test::IndexedMessage;

namespace {

using Strings = std::vector<std::string>;

const std::string kOurVia = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours.0123456789abcdef";
constexpr uint16_t kPort = 5082;

class Draw {
 public:
  explicit Draw(uint64_t stream) : random_(stream) {}
  bool one_in(uint64_t n) { return random_.one_in(n); }
  uint64_t below(uint64_t bound) { return random_.below(bound); }
  std::string pick(const Strings& from) { return from[random_.below(from.size())]; }
  std::string number(uint64_t bound) { return std::to_string(random_.below(bound)); }
  std::string space() { return pick({"", " ", "\t", "\r\n ", " \r\n\t", "\n "}); }
  std::string line_end() { return pick({"\r\n", "\r\n", "\r\n", "\n", " \r\n"}); }
  template <class T>
  void shuffle(std::vector<T>& all) {
    for (size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[random_.below(i)]);
  }
  char byte() { return static_cast<char>(random_.bits()); }

 private:
  test::Random random_;
};

// One Via value, and the same when it was the topmost of a request from 192.0.2.5.
struct Via {
  std::string came, filled;
};

Via draw_via(Draw& draw) {
  const std::string host = draw.pick({"192.0.2.5", "192.0.2.6", "h.example.com", "[::1]"});
  Strings params = {";branch=z9hG4bK" + draw.number(1000)};
  if (draw.one_in(2)) params.push_back(";x=\"a,b;rport\"");
  const std::string rport = draw.pick({"", "", "rport", "rPort", "rport=7"});
  const std::string received = draw.pick({"", "", ";received=192.0.2.9"});
  if (!rport.empty()) params.push_back(";" + rport);
  if (!received.empty()) params.push_back(received);
  draw.shuffle(params);
  Via out;
  out.came = draw.pick({"SIP/2.0/UDP ", "sip / 2.0 / tcp "}) + host + draw.pick({"", ":5070"});
  out.filled = out.came;
  for (const std::string& param : params) {
    const std::string fold = draw.space();
    out.came += fold + param;
    out.filled += fold + param;
    if (param == ";rport" || param == ";rPort") out.filled += "=" + std::to_string(kPort);
  }
  if (received.empty() && (!rport.empty() || host != "192.0.2.5")) out.filled += ";received=192.0.2.5";
  return out;
}

// One header line: what stands in front of its value, its values with what stands between them, and its end.
struct Line {
  std::string name, colon, end;
  Strings values, between;  // between[i] stands behind values[i]; the last one is empty
  std::string top_via;      // values[0] of a Via line, when it was the topmost

  std::string text(size_t from, size_t to) const {
    std::string out = name + colon;
    for (size_t i = from; i < to; ++i) out += values[i] + (i + 1 < to ? between[i] : "");
    return out + end;
  }
  std::string text() const { return text(0, values.size()); }
};

Line line_of(Draw& draw, const std::string& name, const Strings& values) {
  Line out{name, draw.pick({":", " :"}) + draw.space(), draw.line_end(), values, {}, {}};
  for (size_t i = 0; i < values.size(); ++i)
    out.between.push_back(i + 1 < values.size() ? draw.space() + "," + draw.space() : "");
  return out;
}

Line draw_vias(Draw& draw) {
  Strings values;
  Via first;
  for (uint64_t i = draw.below(3) + 1; i > 0; --i) {
    const Via via = draw_via(draw);
    if (values.empty()) first = via;
    values.push_back(via.came);
  }
  Line out = line_of(draw, draw.pick({"Via", "v", "VIA"}), values);
  out.top_via = first.filled;
  return out;
}

Line draw_routes(Draw& draw) {
  Strings values;
  for (uint64_t i = draw.below(3) + 1; i > 0; --i)
    values.push_back(draw.pick({"", "\"a, b\" "}) + "<sip:p" + draw.number(100) + ";lr>" +
                     draw.pick({"", ";x=\",\""}));
  return line_of(draw, draw.pick({"Route", "ROUTE"}), values);
}

// Names that a script may remove, as the message spells them and as the script does.
struct Removable {
  const char* spelled;
  const char* removed;
};
const std::vector<Removable> kRemovable = {
    {"Subject", "s"},   {"s", "SUBJECT"},      {"X-One", "x-one"},
    {"k", "Supported"}, {"Supported", "k"},    {"Allow", "allow"},
    {"Contact", "m"},   {"m", "contact"},      {"User-Agent", "USER-agent"},
    {"o", "Event"},     {"Content-Type", "c"}, {"Record-Route", "record-route"}};

bool is_name(const std::string& name, const Strings& any) {
  return std::find(any.begin(), any.end(), name) != any.end();
}
const Strings kViaNames = {"Via", "v", "VIA"};
const Strings kRouteNames = {"Route", "ROUTE"};

struct Message {
  std::string start, body, tail;
  std::vector<Line> lines;
  size_t route_values = 0;

  std::string text() const {
    std::string out = start;
    for (const Line& line : lines) out += line.text();
    return out + "\r\n" + body + tail;
  }
};

Message draw_message(Draw& draw, bool is_request) {
  Message out;
  out.start = is_request ? "INVITE sip:bob@example.com SIP/2.0\r\n" : "SIP/2.0 200 OK\r\n";
  auto& lines = out.lines;
  for (uint64_t i = draw.below(3) + 1; i > 0; --i) lines.push_back(draw_vias(draw));
  for (uint64_t i = draw.below(4); i > 0; --i) {
    lines.push_back(draw_routes(draw));
    out.route_values += lines.back().values.size();
  }
  for (uint64_t i = draw.below(6); i > 0; --i)
    lines.push_back(
        line_of(draw, kRemovable[draw.below(kRemovable.size())].spelled, {"<sip:x" + draw.number(9) + ">"}));
  lines.push_back(line_of(draw, draw.pick({"From", "f"}), {"<sip:a@h>;tag=" + draw.number(9)}));
  lines.push_back(line_of(draw, draw.pick({"To", "t"}), {"sip:b@h" + draw.pick({"", ";tag=7"})}));
  lines.push_back(line_of(draw, draw.pick({"Call-ID", "i"}), {draw.number(999) + "@h"}));
  lines.push_back(line_of(draw, "CSeq", {"7" + draw.pick({" ", "\r\n "}) + "INVITE"}));
  if (draw.one_in(2)) lines.push_back(line_of(draw, "Max-Forwards", {std::to_string(draw.below(255) + 1)}));
  out.body = draw.pick({"", "body", "\r\nv=0\r\n"});
  if (draw.one_in(2)) {
    lines.push_back(line_of(draw, draw.pick({"Content-Length", "l"}), {std::to_string(out.body.size())}));
    out.tail = draw.pick({"", "behind"});
  }
  draw.shuffle(lines);
  return out;
}

struct Edits {
  std::string names, lines, body;
  Strings spelled;  // what of the message `names` means
  MessageEdits edits;
};

void draw_edits(Draw& draw, Edits& out) {
  for (const Removable& one : kRemovable) {
    if (!draw.one_in(6)) continue;
    out.names += std::string(one.removed) + "\n";
    // Both spellings of one name.
    for (const Removable& other : kRemovable) {
      if (header_name_equals(one.removed, other.spelled)) out.spelled.push_back(other.spelled);
    }
  }
  if (draw.one_in(3)) out.names += "Via\nTo\nCSEQ\nMax-Forwards\nl\n";
  if (draw.one_in(2)) out.lines = "P-Mine: 1\r\n";
  if (draw.one_in(2)) out.body = draw.pick({"", "new body"});
  out.edits.removed_names = out.names;
  out.edits.appended_lines = out.lines;
  out.edits.has_body = draw.one_in(2);
  out.edits.body = out.body;
}

// The end that both kinds of message share.
std::string model_end(const Message& message, const Edits& edits, const std::string& more) {
  const std::string body = edits.edits.has_body ? edits.body : message.body;
  return edits.lines + more + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string model_request(const Message& message, const ForwardParts& parts, const Edits& edits) {
  const RoutePlan& plan = *parts.route;
  std::string out = "INVITE " + std::string(plan.ruri) + " SIP/2.0\r\nVia: " + kOurVia + "\r\n";
  std::string ours(parts.record_routes);
  const auto has_name = [](const Strings& names) {
    return [&names](const Line& line) { return is_name(line.name, names); };
  };
  if (std::none_of(message.lines.begin(), message.lines.end(), has_name({"Max-Forwards"})))
    ours += "Max-Forwards: " + std::to_string(parts.default_max_forwards) + "\r\n";

  std::vector<bool> goes(message.route_values, true);
  std::fill_n(goes.begin(), std::min<size_t>(plan.skipped_values, goes.size()), false);
  if (plan.drops_last && !goes.empty()) goes.back() = false;
  bool has_via = false;
  size_t route = 0;
  for (const Line& line : message.lines) {
    if (is_name(line.name, kViaNames)) {
      Line via = line;
      if (!has_via) via.values[0] = via.top_via;
      has_via = true;
      out += via.text();
      continue;
    }
    if (is_name(line.name, {"Content-Length", "l"})) continue;
    out += ours;
    ours.clear();
    if (is_name(line.name, edits.spelled)) continue;
    if (line.name == "Max-Forwards") {
      Line less = line;
      less.values[0] = std::to_string(std::stoi(line.values[0]) - 1);
      out += less.text();
    } else if (is_name(line.name, kRouteNames)) {
      size_t from = 0, to = line.values.size();
      while (from < to && !goes[route + from]) ++from;
      while (to > from && !goes[route + to - 1]) --to;
      route += line.values.size();
      if (from < to) out += line.text(from, to);
    } else {
      out += line.text();
    }
  }
  const std::string added(plan.added_route);
  return out + ours + model_end(message, edits, added.empty() ? "" : "Route: <" + added + ">\r\n");
}

std::string model_reply(const Message& message, const Edits& edits) {
  std::string out = message.start;
  bool has_via = false;
  for (const Line& line : message.lines) {
    if (is_name(line.name, {"Content-Length", "l"}) || is_name(line.name, edits.spelled)) continue;
    if (is_name(line.name, kViaNames) && !has_via) {
      has_via = true;
      if (line.values.size() > 1) out += line.text(1, line.values.size());
    } else {
      out += line.text();
    }
  }
  return out + model_end(message, edits, "");
}

Address source() {
  Address out;
  REQUIRE(Address::parse("192.0.2.5", kPort, out));
  return out;
}

std::string forwarded(const IndexedMessage& came, ForwardParts parts) {
  parts.data = came.data();
  parts.size = came.size();
  parts.index = &came.index;
  parts.from.address = source();
  parts.via = kOurVia;
  return test::built([&](char* out, size_t capacity) { return build_request(parts, out, capacity); });
}

}  // namespace

TEST_CASE("random requests against a naive model") {
  Draw draw(1);
  for (uint64_t round = 0; round < test::rounds(20'000); ++round) {
    const Message message = draw_message(draw, true);
    Edits edits;
    draw_edits(draw, edits);
    RoutePlan plan;
    plan.ruri = draw.one_in(2) ? "sip:bob@example.com" : "sip:new@h;x?y";
    plan.skipped_values = static_cast<uint16_t>(draw.below(message.route_values + 2));
    plan.drops_last = draw.one_in(3);
    if (draw.one_in(3)) plan.added_route = "sip:old@h";
    ForwardParts parts;
    parts.route = &plan;
    parts.edits = edits.edits;
    parts.default_max_forwards = static_cast<uint8_t>(draw.below(256));
    if (draw.one_in(2)) parts.record_routes = "Record-Route: <sip:us;lr>\r\n";

    const auto came = IndexedMessage::good(message.text());
    const std::string out = forwarded(came, parts);
    CAPTURE(message.text());
    CAPTURE(edits.names);
    REQUIRE(out == model_request(message, parts, edits));

    // It can be read again, and says what was wanted.
    const auto went = IndexedMessage::good(out);
    REQUIRE(went.of(went.index.ruri) == plan.ruri);
    REQUIRE(went.of(went.index.via.value) == kOurVia);
    REQUIRE(went.index.via_count == came.index.via_count + 1);
    REQUIRE(went.index.max_forwards ==
            (came.index.max_forwards < 0 ? parts.default_max_forwards : came.index.max_forwards - 1));
    REQUIRE(went.of(went.index.from.value) == came.of(came.index.from.value));
    REQUIRE(went.of(went.index.to.value) == came.of(came.index.to.value));
    REQUIRE(went.of(went.index.call_id) == came.of(came.index.call_id));
    REQUIRE(went.of(went.index.cseq) == came.of(came.index.cseq));
    REQUIRE(went.of(went.index.body) == (edits.edits.has_body ? edits.body : message.body));
  }
}

TEST_CASE("random replies against a naive model") {
  Draw draw(2);
  for (uint64_t round = 0; round < test::rounds(20'000); ++round) {
    const Message message = draw_message(draw, false);
    Edits edits;
    draw_edits(draw, edits);
    const auto came = IndexedMessage::good(message.text());
    const std::string out = test::built([&](char* to, size_t capacity) {
      return build_reply_upstream(came.data(), came.size(), came.index, edits.edits, to, capacity);
    });
    CAPTURE(message.text());
    CAPTURE(edits.names);
    Strings vias;
    for (const Line& line : message.lines) {
      if (is_name(line.name, kViaNames)) vias.insert(vias.end(), line.values.begin(), line.values.end());
    }
    ViaIndex second;
    REQUIRE(second_via(came.data(), came.size(), came.index, second) == (vias.size() > 1));
    if (vias.size() < 2) {
      REQUIRE(out.empty());
      continue;
    }
    REQUIRE(out == model_reply(message, edits));
    REQUIRE(came.of(second.value) == vias[1]);
    const auto went = IndexedMessage::good(out);
    REQUIRE(went.of(went.index.via.value) == vias[1]);
    REQUIRE(went.index.via_count == vias.size() - 1);
    REQUIRE(went.of(went.index.to.value) == came.of(came.index.to.value));
  }
}

TEST_CASE("the ACK and the CANCEL of a random request belong to it") {
  Draw draw(3);
  for (uint64_t round = 0; round < test::rounds(10'000); ++round) {
    const Message message = draw_message(draw, true);
    const auto sent = IndexedMessage::good(message.text());
    const bool is_ack = draw.one_in(2);
    const std::string to = draw.one_in(2) ? "<sip:b@h>;\r\n tag=new" : "";
    const std::string out = test::built([&](char* at, size_t capacity) {
      return is_ack ? build_ack(sent.data(), sent.size(), sent.index, to, at, capacity)
                    : build_cancel(sent.data(), sent.size(), sent.index, "Reason: SIP\r\n", at, capacity);
    });
    CAPTURE(message.text());
    CAPTURE(out);
    const auto went = IndexedMessage::good(out);
    REQUIRE(went.index.method == (is_ack ? Method::kAck : Method::kCancel));
    REQUIRE(went.index.via_count == 1);
    REQUIRE(went.of(went.index.via.value) == sent.of(sent.index.via.value));
    REQUIRE(went.index.max_forwards == 70);
    REQUIRE(went.index.cseq_number == sent.index.cseq_number);
    REQUIRE(went.of(went.index.ruri) == sent.of(sent.index.ruri));
    REQUIRE(went.of(went.index.from.value) == sent.of(sent.index.from.value));
    REQUIRE(went.of(went.index.to.value) == (is_ack && !to.empty() ? to : sent.of(sent.index.to.value)));
    REQUIRE(went.of(went.index.call_id) == sent.of(sent.index.call_id));
    REQUIRE(went.values(HeaderId::kRoute) == sent.values(HeaderId::kRoute));
    REQUIRE(went.values(HeaderId::kReason).size() == (is_ack ? 0 : 1));
    REQUIRE(went.index.body.empty());
  }
}

TEST_CASE("whatever is built of a mutated message is a message") {
  Draw draw(4);
  SelfSet self;
  self.add("p1", 0);
  uint64_t built_requests = 0, built_replies = 0;
  for (uint64_t round = 0; round < test::rounds(40'000); ++round) {
    std::string text = draw_message(draw, draw.one_in(2)).text();
    for (uint64_t i = draw.below(4); i > 0; --i) {
      const size_t at = draw.below(text.size());
      if (draw.one_in(2)) text[at] = draw.byte();
      if (draw.one_in(3)) text.insert(at, 1, "\r\n,;:\"<> \t=\\"[draw.below(12)]);
      if (draw.one_in(3)) text.erase(at, draw.below(8));
    }
    const IndexedMessage came(text);
    if (came.index.status != IndexStatus::kOk) continue;
    CAPTURE(text);
    if (came.index.is_request) {
      RoutePlan plan;
      ForwardParts parts;
      const bool is_planned = plan_route(came.data(), came.size(), came.index, self, {}, {}, plan);
      if (is_planned) {
        parts.route = &plan;
      } else {
        plan = {};
      }
      const std::string out = forwarded(came, parts);
      CAPTURE(out);
      if (came.index.max_forwards == 0) {
        REQUIRE(out.empty());
        continue;
      }
      const auto went = IndexedMessage::good(out);
      REQUIRE(went.index.via_count == came.index.via_count + 1);
      REQUIRE(went.of(went.index.call_id) == came.of(came.index.call_id));
      REQUIRE(went.of(went.index.body) == came.of(came.index.body));
      // Without a plan the Route goes as it came, whatever was found out before the plan failed.
      if (!is_planned) plan = RoutePlan{};
      const size_t left = static_cast<size_t>(plan.skipped_values) + (plan.drops_last ? 1 : 0);
      REQUIRE(went.values(HeaderId::kRoute).size() ==
              came.values(HeaderId::kRoute).size() - left + (plan.added_route.empty() ? 0 : 1));
      ++built_requests;
    } else if (came.index.via_count > 1) {
      const std::string out = test::built([&](char* to, size_t capacity) {
        return build_reply_upstream(came.data(), came.size(), came.index, {}, to, capacity);
      });
      CAPTURE(out);
      const IndexedMessage went(out);
      ViaIndex second;
      const bool has_second = second_via(came.data(), came.size(), came.index, second);
      REQUIRE(went.index.status == (has_second ? IndexStatus::kOk : IndexStatus::kBadVia));
      REQUIRE(went.index.via_count == came.index.via_count - 1);
      if (has_second) REQUIRE(went.of(went.index.via.value) == came.of(second.value));
      ++built_replies;
    }
  }
  CHECK(built_requests > 100);
  CHECK(built_replies > 100);
}
