// The header index against the valid oddities that RFC 4475 describes.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "sip/header_index.h"
#include "test/support/indexed_cases.h"

using namespace sip_async::sip;
using namespace sip_async::test;
using enum IndexStatus;

TEST_CASE("torture: white space, folds, compact forms and unknown headers everywhere") {
  Indexed m(
      "INVITE sip:carol@chair.example.org;unknownparam SIP/2.0\r\n"
      "TO :\r\n sip:carol@chair.example.org ;   tag    = 99x8\r\n"
      "from   : \"Q \\\\\\\"\"       <sip:dora@example.net>\r\n  ;\r\n  tag = 7asx\r\n"
      "MaX-fOrWaRdS: 0068\r\n"
      "Call-ID: odd.0ha0isnda977644900765@192.0.2.15\r\n"
      "Content-Length   : 7\r\n"
      "cseq: 0009\r\n  INVITE\r\n"
      "Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skd\r\n"
      "s :\r\n"
      "NewFangled:   value\r\n continued ; with \"strings\"\r\n\tand more\r\n"
      "UnknownHeaderWithUnusualValue: ;;,,;;,;\r\n"
      "Route:\r\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\r\n"
      "v:  SIP  / 2.0  / TCP     spin.example.com   ;\r\n  branch  =   z9hG4bK9  ,\r\n"
      " SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n"
      "m:\"Quoted string \\\"\\\"\" <sip:dora@example.net> ; newparam =\r\n      newvalue ;\r\n  secondparam "
      "; q = 0.33\r\n"
      "\r\nv=0\r\no=trailing");
  REQUIRE(m.status == kOk);
  CHECK(m.index.via_count == 3);
  CHECK(m(m.index.via.host) == "192.0.2.2");
  CHECK(m(m.index.via.branch) == "390skd");
  CHECK(m(m.index.to.uri) == "sip:carol@chair.example.org");
  CHECK(m(m.index.to.tag) == "99x8");
  CHECK(m(m.index.from.uri) == "sip:dora@example.net");
  CHECK(m(m.index.from.tag) == "7asx");
  CHECK(m.index.max_forwards == 68);
  CHECK(m.index.cseq_number == 9);
  CHECK(m.index.header_count == 13);
  CHECK(m(m.index.body) == "v=0\r\no=");
}

TEST_CASE("torture: a wide range of characters, escaped NUL, long names, bodies that look like headers") {
  std::string method = "!odd-Method0123456789_*+`.%indeed'~";
  Indexed wide(method +
               " sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/"
               ";;*:&it+has=1,weird!*pas$wo~d_too.(isn't)@example.com "
               "SIP/2.0\r\n" +
               kVia +
               "From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%="
               "\"\xd1\x80\xd0\xb0\xd0\xb1\";tag=_token~1'+`*%!-.\r\n"
               "To: \"DEL \\z QUOTE \\\"\" <sip:1%00a;x?y/,z:p$w@example.com>\r\n"
               "Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{\r\n"
               "CSeq: 139122385 " +
               method + "\r\nextensionHeader-!.%*+_`'~: \xef\xbb\xbf\xe5\xa4\xa7\r\n\r\n");
  REQUIRE(wide.status == kOk);
  CHECK(wide.index.method == Method::kOther);
  CHECK(wide(wide.index.to.user) == "1%00a;x?y/,z");
  CHECK(wide(wide.index.from.tag) == "_token~1'+`*%!-.");

  Indexed nul(with_start("REGISTER sip:null-%00-null@example.com SIP/2.0"));
  CHECK(nul.status == kMethodMismatch);
  CHECK(nul(nul.index.ruri) == "sip:null-%00-null@example.com");

  std::string word(3000, 'l');
  Indexed lengthy(with_header(word + ": " + word + "\r\nSubject: " + word));
  CHECK(lengthy.status == kOk);

  Indexed two(kStart + kHeaders + "l: 0\r\n\r\nINVITE sip:x SIP/2.0\r\nVia: y\r\n\r\n");
  CHECK(two.status == kOk);
  CHECK(two.index.body.empty());
  CHECK(two.index.header_count == 6);
}
