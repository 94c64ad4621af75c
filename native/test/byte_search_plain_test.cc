// The searches as processors without sixteen bytes a step do them.
#define SIP_ASYNC_PLAIN_SEARCH
#include "test/support/byte_search_cases.h"

TEST_CASE("a plain search finds what one byte after the other finds") {
  sip_async::test::check_all_searches();
}

TEST_CASE("a plain walk over control bytes finds each of them") {
  sip_async::test::check_control_walk();
}
