// The searches as this processor does them. A run prints its seed; SIP_ASYNC_TEST_SEED repeats it.
#include "test/support/byte_search_cases.h"

TEST_CASE("a search finds what one byte after the other finds") {
  sip_async::test::check_all_searches();
}

TEST_CASE("a walk over control bytes finds each of them") {
  sip_async::test::check_control_walk();
}
