// Who we are, and where a request goes next by its Route.
#include <doctest/doctest.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "sip/route_set.h"
#include "test/support/indexed_message.h"
#include "test/support/seed.h"
#include "test/support/stress.h"

using namespace sip_async;
using namespace sip_async::sip;
using test::IndexedMessage;

namespace {

SelfSet ourselves() {
  SelfSet self;
  self.add("192.0.2.1", 5060);
  self.add("us.example.com", 0);
  self.add("[2001:db8::1]", 5080);
  return self;
}

std::string request(const std::string& uri, const std::string& routes) {
  return "INVITE " + uri + " SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n" + routes +
         "From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: 1@h\r\nCSeq: 7 INVITE\r\n\r\n";
}

// A plan in words that outlive the message.
struct Plan {
  std::string ruri, next_hop;
  int skipped = 0;
  bool drops_last = false;
  std::string added = {};
  bool operator==(const Plan&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Plan& plan) {
  return out << "{ruri " << plan.ruri << ", next hop " << plan.next_hop << ", skipped " << plan.skipped
             << (plan.drops_last ? ", drops the last" : "") << ", added " << plan.added << "}";
}

struct Asked {
  std::string uri;     // Request-URI
  std::string routes;  // whole lines
  std::string script_uri;
  std::string destination;
};

bool plan_of(const Asked& asked, Plan& out) {
  const auto message = IndexedMessage::good(request(asked.uri, asked.routes));
  RoutePlan plan;
  if (!plan_route(message.data(), message.size(), message.index, ourselves(), asked.script_uri,
                  asked.destination, plan)) {
    return false;
  }
  out = {std::string(plan.ruri), std::string(plan.next_hop), plan.skipped_values, plan.drops_last,
         std::string(plan.added_route)};
  return true;
}
Plan plan_of(const Asked& asked) {
  Plan out;
  REQUIRE(plan_of(asked, out));
  return out;
}
bool is_refused(const Asked& asked) {
  Plan out;
  return !plan_of(asked, out);
}

const std::string kUs = "<sip:192.0.2.1;lr>";
const std::string kBob = "sip:bob@192.0.2.9";

std::string route(const std::string& values) {
  return "Route: " + values + "\r\n";
}

}  // namespace

TEST_CASE("hosts and ports that are ours") {
  const SelfSet self = ourselves();
  CHECK(self.has("192.0.2.1", 5060));
  CHECK(self.has("192.0.2.1", 0));
  CHECK_FALSE(self.has("192.0.2.1", 5061));
  CHECK_FALSE(self.has("192.0.2.10", 5060));
  CHECK_FALSE(self.has("192.0.2.", 5060));
  for (const uint16_t port : std::initializer_list<uint16_t>{0, 1, 5060, 65535}) {
    CAPTURE(port);
    CHECK(self.has("us.example.com", port));
    CHECK(self.has("US.Example.COM.", port));
    CHECK_FALSE(self.has("example.com", port));
    CHECK_FALSE(self.has("sus.example.com", port));
    CHECK_FALSE(self.has("", port));
  }
  for (const char* host : {"2001:db8::1", "[2001:db8::1]", "[2001:DB8:0:0::1]", "2001:0db8:0:0:0:0:0:1"}) {
    CAPTURE(std::string(host));
    CHECK(self.has(host, 5080));
    CHECK_FALSE(self.has(host, 5060));
    CHECK_FALSE(self.has(host, 0));
  }
  CHECK_FALSE(self.has("[2001:db8::2]", 5080));
  CHECK_FALSE(self.has(std::string(5000, 'a'), 5060));
  CHECK_FALSE(SelfSet().has("192.0.2.1", 5060));

  SelfSet odd;
  odd.add("", 0);
  odd.add(std::string(300, 'a'), 0);
  CHECK_FALSE(odd.has("", 0));
  CHECK_FALSE(odd.has(std::string(300, 'a'), 0));
  odd.add("Secure.Example.com", 5061);
  CHECK(odd.has("secure.example.com", 0));
  CHECK_FALSE(odd.has("secure.example.com", 5060));
}

TEST_CASE("URIs that lead here") {
  const SelfSet self = ourselves();
  for (const char* uri :
       {"sip:192.0.2.1", "sip:192.0.2.1:5060", "SIP:anyone:secret@192.0.2.1;lr;x=y?h=v",
        "sip:192.0.2.1;transport=tcp", "sip:us.example.com", "sips:us.example.com:7", "sip:a@US.example.com",
        "sip:[2001:db8::1]:5080", "sips:us.example.com;transport=ws"}) {
    CAPTURE(std::string(uri));
    CHECK(self.has_uri(uri));
  }
  for (const char* uri :
       {"sip:192.0.2.1:5061", "sips:192.0.2.1", "sip:192.0.2.1;transport=tls", "sip:192.0.2.1;transport=ws",
        "sip:192.0.2.1:0", "sip:192.0.2.1:70000", "sip:192.0.2.1:x", "sip:[2001:db8::1]", "sip:192.0.2.1@h",
        "tel:192.0.2.1", "192.0.2.1", "", "sip:", "sip:us.example.com.org", "sip:user@"}) {
    CAPTURE(std::string(uri));
    CHECK_FALSE(self.has_uri(uri));
  }
  SelfSet secure;
  secure.add("h", 5061);
  secure.add("w", 80);
  secure.add("s", 443);
  CHECK(secure.has_uri("sips:h"));
  CHECK(secure.has_uri("sip:h;Transport=TLS"));
  CHECK_FALSE(secure.has_uri("sip:h"));
  CHECK_FALSE(secure.has_uri("sip:h?transport=tls"));
  CHECK_FALSE(secure.has_uri("sip:h;transports=tls"));
  CHECK(secure.has_uri("sip:w;transport=ws"));
  CHECK(secure.has_uri("sip:s;transport=wss"));
  CHECK(secure.has_uri("sips:s;transport=ws"));
}

TEST_CASE("without a Route the Request-URI says where, or the script") {
  CHECK(plan_of({kBob, "", "", ""}) == Plan{kBob, kBob});
  CHECK(plan_of({kBob, "", "sip:new@h", ""}) == Plan{"sip:new@h", "sip:new@h"});
  CHECK(plan_of({kBob, "", "", "sip:gw"}) == Plan{kBob, "sip:gw"});
  CHECK(plan_of({kBob, "", "sip:new@h", "sip:gw"}) == Plan{"sip:new@h", "sip:gw"});
  CHECK(plan_of({"tel:+123", "", "", ""}) == Plan{"tel:+123", "tel:+123"});
  // A Request-URI that is ours alone is a request to us, with nowhere to go on.
  CHECK(plan_of({"sip:192.0.2.1;lr", "", "", ""}) == Plan{"sip:192.0.2.1;lr", "sip:192.0.2.1;lr"});
}

TEST_CASE("Route values of ours in front are taken off") {
  const std::string next = "sip:p2.example.com;lr";
  for (const std::string& mine : {kUs, std::string("<sip:us.example.com:7;lr=on>"),
                                  std::string("\"Us\" <sip:192.0.2.1:5060;transport=udp;lr>;x=y")}) {
    CAPTURE(mine);
    CHECK(plan_of({kBob, route(mine), "", ""}) == Plan{kBob, kBob, 1});
    CHECK(plan_of({kBob, route(mine + " , <" + next + ">"), "", ""}) == Plan{kBob, next, 1});
    CHECK(plan_of({kBob, route(mine) + "X: y\r\nroute:" + kUs + ",<" + next + ">," + kUs + "\r\n", "", ""}) ==
          Plan{kBob, next, 2});
    CHECK(plan_of({kBob, route(mine + "," + kUs), "sip:new@h", ""}) == Plan{"sip:new@h", "sip:new@h", 2});
    CHECK(plan_of({kBob, route(mine + "," + kUs + ",<" + next + ">"), "", "sip:gw"}) ==
          Plan{kBob, "sip:gw", 2});
  }
}

TEST_CASE("a loose router stays in the Route, a strict one goes into the Request-URI") {
  for (const char* lr : {"lr", "LR", "lr=on", "x;lr=true;y", "transport=udp;lr?h=v"}) {
    const std::string uri = std::string("sip:p2;") + lr;
    CAPTURE(uri);
    CHECK(plan_of({kBob, route("<" + uri + ">"), "", ""}) == Plan{kBob, uri});
  }
  for (const char* strict :
       {"sip:p2", "sip:p2;lrx", "sip:p2;x=lr", "sip:p2?lr", "sip:lr@p2", "sip:p2;xlr", "sips:p2;a=;;b"}) {
    CAPTURE(std::string(strict));
    const std::string value = "<" + std::string(strict) + ">";
    CHECK(plan_of({kBob, route(value), "", ""}) == Plan{strict, strict, 1, false, kBob});
    CHECK(plan_of({kBob, route(kUs + "," + value + ",<sip:p3;lr>"), "", ""}) ==
          Plan{strict, strict, 2, false, kBob});
    CHECK(plan_of({kBob, route(value), "sip:new@h", ""}) == Plan{strict, strict, 1, false, "sip:new@h"});
    CHECK(plan_of({kBob, route(value), "", "sip:gw"}) == Plan{strict, "sip:gw", 1, false, kBob});
  }
  // `lr` behind the > is the header's and not the URI's.
  CHECK(plan_of({kBob, route("<sip:p2>;lr"), "", ""}) == Plan{"sip:p2", "sip:p2", 1, false, kBob});
}

TEST_CASE("what a strict router sent: the last Route value is the Request-URI again") {
  const std::string ours = "sip:192.0.2.1;lr";
  const std::string bob = "<" + kBob + ">";
  CHECK(plan_of({ours, route(bob), "", ""}) == Plan{kBob, kBob, 0, true});
  CHECK(plan_of({ours, route("<sip:p2;lr>,<sip:p3;lr>") + route(bob), "", ""}) ==
        Plan{kBob, "sip:p2;lr", 0, true});
  CHECK(plan_of({ours, route("<sip:p2>, " + bob), "", ""}) == Plan{"sip:p2", "sip:p2", 1, true, kBob});
  CHECK(plan_of({ours, route(bob), "", "sip:gw"}) == Plan{kBob, "sip:gw", 0, true});
  CHECK(plan_of({ours, route("<sip:p2;lr>," + bob), "sip:new@h", ""}) ==
        Plan{"sip:new@h", "sip:p2;lr", 0, true});
  // Without lr it is no Record-Route of ours, with a Route value of ours in front it was no strict router.
  CHECK(plan_of({"sip:192.0.2.1", route("<sip:p2;lr>"), "", ""}) == Plan{"sip:192.0.2.1", "sip:p2;lr"});
  CHECK(plan_of({ours, route(kUs + ",<sip:p2;lr>"), "", ""}) == Plan{ours, "sip:p2;lr", 1});
  CHECK(plan_of({"sip:other;lr", route("<sip:p2;lr>"), "", ""}) == Plan{"sip:other;lr", "sip:p2;lr"});
}

TEST_CASE("a Route value that matters and is malformed is told") {
  for (const char* bad : {"sip:p2;lr", "<sip:p2;lr", "<>", "<sip:>", "<tel:+1>", "<sip:p2;lr> x",
                          "\"a <sip:p2;lr>", "<sip:p2:0;lr>", "<sip:p2:x;lr>", "<sip:p 2;lr>", "x", "<p2>"}) {
    CAPTURE(std::string(bad));
    CHECK(is_refused({kBob, route(bad), "", ""}));
    CHECK(is_refused({kBob, route(kUs) + route(bad), "", ""}));
    CHECK(is_refused({"sip:192.0.2.1;lr", route("<sip:p2;lr>") + route(bad), "", ""}));
    // Behind the next hop nobody looks.
    CHECK(plan_of({kBob, route("<sip:p3;lr>") + route(bad), "", ""}) == Plan{kBob, "sip:p3;lr"});
  }
  // Bytes that no Request-URI holds may stand in a Route value as long as it does not become one.
  const std::string umlaut = "sip:\xc3\xbc@p2";
  CHECK(plan_of({kBob, route("<" + umlaut + ";lr>"), "", ""}) == Plan{kBob, umlaut + ";lr"});
  CHECK(is_refused({kBob, route("<" + umlaut + ">"), "", ""}));
  CHECK(is_refused({"sip:192.0.2.1;lr", route("<" + umlaut + ";lr>"), "", ""}));
  // Lines without a value are none.
  CHECK(plan_of({kBob, "Route:\r\nRoute: ,,\r\n", "", ""}) == Plan{kBob, kBob});
}

TEST_CASE("random Routes against a naive model") {
  test::Random random(3);
  struct Value {
    std::string uri;
    bool is_ours;
    bool is_loose;
  };
  const auto draw = [&random] {
    Value out;
    out.is_ours = random.one_in(2);
    out.is_loose = !random.one_in(3);
    const std::vector<std::string> ours = {"192.0.2.1", "192.0.2.1:5060", "US.example.com:99",
                                           "[2001:DB8::1]:5080"};
    const std::vector<std::string> others = {"192.0.2.1:5080", "p.example.com", "[2001:db8::2]:5080",
                                             "example.com"};
    out.uri = std::string(random.one_in(4) ? "SIP:" : "sip:") + (random.one_in(2) ? "u;lr?x,y@" : "") +
              (out.is_ours ? ours : others)[random.below(4)] + (random.one_in(2) ? ";x=lr" : "") +
              (out.is_loose ? ";Lr" : "") + (random.one_in(3) ? ";y" : "") +
              (random.one_in(3) ? "?lr=1" : "");
    return out;
  };
  for (uint64_t round = 0; round < test::rounds(20'000); ++round) {
    const Value uri = draw();
    std::vector<Value> values(random.below(6));
    std::string lines;
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = draw();
      const bool begins = i == 0 || random.one_in(2);
      lines += begins ? std::string(i == 0 ? "" : "\r\n") + "Route: " : random.one_in(2) ? "," : " ,\r\n ";
      lines += std::string(random.one_in(3) ? "\"a, <b>\" " : "") + "<" + values[i].uri + ">" +
               (random.one_in(3) ? " ;z" : "");
      if (random.one_in(5)) lines += "\r\nX: <sip:no;lr>\r\nRoute:";
    }
    if (!lines.empty()) lines += "\r\n";
    const Asked asked{uri.uri, lines, random.one_in(3) ? "sip:new@h" : "", random.one_in(3) ? "sip:gw" : ""};

    Plan expected;
    expected.ruri = asked.uri;
    std::vector<Value> left = values;
    if (!left.empty() && uri.is_ours && uri.is_loose && !left[0].is_ours) {
      expected.ruri = left.back().uri;
      expected.drops_last = true;
      left.pop_back();
    }
    if (!asked.script_uri.empty()) expected.ruri = asked.script_uri;
    while (!left.empty() && left[0].is_ours) {
      left.erase(left.begin());
      ++expected.skipped;
    }
    expected.next_hop = expected.ruri;
    if (!left.empty()) {
      expected.next_hop = left[0].uri;
      if (!left[0].is_loose) {
        expected.added = expected.ruri;
        expected.ruri = left[0].uri;
        ++expected.skipped;
      }
    }
    if (!asked.destination.empty()) expected.next_hop = asked.destination;
    CAPTURE(asked.uri);
    CAPTURE(asked.routes);
    REQUIRE(plan_of(asked) == expected);
  }
}
