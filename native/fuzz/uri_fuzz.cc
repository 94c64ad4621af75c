// libFuzzer entry for the URI reader. What it takes apart must be parts of the URI, in order, and its answers must agree with
// each other. Built with SIP_ASYNC_FUZZ_STANDALONE it replays the files and folders that are named as arguments.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "fuzz/check.h"
#include "sip/name_addr.h"
#include "sip/scan.h"
#include "sip/uri.h"

namespace {

using namespace sip_async::sip;
using sip_async::fuzz::require;
using sip_async::fuzz::require_inside;
using sip_async::fuzz::require_part;

void check_split(std::string_view uri) {
  SipUri parts;
  const bool is_split = split_sip_uri(uri, parts);
  for (std::string_view part : {parts.user, parts.password, parts.host, parts.tail}) require_part(part, uri);
  require(!is_split || (is_sip_uri(uri) && !parts.host.empty()));
  require(parts.has_user || (parts.user.empty() && parts.password.empty()));
  require(parts.has_port || parts.port == 0);
  require(has_bad_port(uri) == (is_split && parts.has_port && parts.port == 0));
  if (is_split) {
    require(parts.tail.empty() || parts.tail[0] == ';' || parts.tail[0] == '?');
    require(parts.host.data() + parts.host.size() <= uri.data() + uri.size());
    // Without its tail it is the same URI.
    SipUri again;
    require(split_sip_uri(uri.substr(0, uri.size() - parts.tail.size()), again));
    require(again.host == parts.host && again.port == parts.port && again.user == parts.user &&
            again.tail.empty());
  }
  if (check_request_uri(uri)) {
    require(!is_sip_uri(uri) || (is_split && !has_bad_port(uri)));
    for (char c : uri) require(static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7f);
  }
  require_part(uri_user(uri), uri);
  if (is_split) require(uri_user(uri) == parts.user);
  const size_t scheme = scheme_length(uri);
  require(scheme <= uri.size() && (scheme == 0 || uri[scheme - 1] == ':'));
  uint16_t port = 0;
  require(!read_port(uri, port) || (port != 0 && std::stoul(std::string(uri)) == port));
}

// As the value of a From: address, user and tag.
void check_address(std::string_view text) {
  if (text.size() > kMaxMessageBytes) return;
  AddressIndex address;
  const Slice value{0, static_cast<uint16_t>(text.size())};
  const bool is_address = read_name_addr(text.data(), value, address);
  for (Slice slice : {address.uri, address.user, address.tag}) require_inside(slice, 0, text.size());
  if (!is_address) return;
  require(scheme_length(address.uri.of(text.data())) != 0);
  require(uri_user(address.uri.of(text.data())) == address.user.of(text.data()));
  require(address.tag.of(text.data()).find_first_of(";, \t\r\n<>\"") == std::string_view::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  check_split(input);
  check_address(input);
  return 0;
}

#ifdef SIP_ASYNC_FUZZ_STANDALONE
#include "fuzz/standalone.h"
#endif
