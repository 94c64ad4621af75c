// The header index: one pass over a SIP message that notes where things stand, and copies nothing.
//
// Ground rules
// - `data` may hold any bytes a stranger sends. Every offset and length in a MessageIndex lies inside the message;
//   that holds for messages that are refused, too.
// - A slice is relative to the first byte of the message, so an index stays valid when message and index are copied
//   together to another place (the payload of a slot). No pointers.
// - Cost is linear in the size of the message, whatever it holds. No recursion, no allocation, no regular expression.
// - A message is at most 65,535 bytes, so 16 bits do for offsets and lengths.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace sip_async::sip {

inline constexpr size_t kMaxMessageBytes = 65535;

struct Slice {
  uint16_t offset = 0;
  uint16_t length = 0;
  bool empty() const { return length == 0; }
  std::string_view of(const char* data) const { return {data + offset, length}; }
};

// Methods that have a number; any other token is kOther and is read from MessageIndex::method.
enum class Method : uint8_t {
  kOther,
  kInvite,
  kAck,
  kBye,
  kCancel,
  kOptions,
  kRegister,
  kPrack,
  kSubscribe,
  kNotify,
  kPublish,
  kInfo,
  kRefer,
  kMessage,
  kUpdate,
};

enum class Transport : uint8_t { kUdp, kTcp, kTls, kWs, kWss, kOther };

// Names that the index tells apart, in long or compact form, any case; the rest is kOther.
enum class HeaderId : uint8_t {
  kOther,
  kVia,
  kFrom,
  kTo,
  kCallId,
  kCseq,
  kContact,
  kMaxForwards,
  kContentLength,
  kContentType,
  kRoute,
  kRecordRoute,
  kUserAgent,
  kExpires,
  kSupported,
  kRequire,
  kProxyRequire,
  kReason,
  kTimestamp,
};

// Why a message is refused. The order is also the order of the counters in stats().transport.malformed.
enum class IndexStatus : uint8_t {
  kOk,
  kKeepAlive,  // nothing but CR and LF (RFC 5626 section 4.4.1): no message, and no fault
  kTooLarge,
  kBadStartLine,
  kBadVersion,   // SIP/x.y other than SIP/2.0
  kNoHeaderEnd,  // no empty line after the headers
  kBadHeader,  // a header line without colon or name, a name that is no token, control bytes outside quoted pairs
  kTooManyHeaders,
  kTooManyVias,
  kMissingHeader,   // one of Via, From, To, Call-ID, CSeq is not there
  kRepeatedHeader,  // From, To, Call-ID, CSeq, Max-Forwards or Content-Length more than once
  kBadVia,
  kBadFromTo,
  kBadCallId,
  kBadCseq,           // not a 32-bit number and a token
  kMethodMismatch,    // CSeq method differs from the request's
  kBadContentLength,  // not a number, or more than the datagram holds
  kBadMaxForwards,
  kBadUri,   // request URI: spaces, control bytes, no scheme
  kHostile,  // set by the guard: would index, but holds what a parser behind us may choke on
  kCount,
};
const char* index_status_name(IndexStatus status);  // camelCase, as stats() shows it: "noHeaderEnd"

// One Via value (RFC 3261 section 20.42).
struct ViaIndex {
  Slice value;        // the whole value without surrounding white space
  Slice sent_by;      // host[:port] as written
  Slice host;         // without brackets' removal: "[::1]" stays as written
  uint16_t port = 0;  // 0 when absent
  Transport transport = Transport::kOther;
  Slice branch;    // value of the branch parameter
  Slice received;  // value of the received parameter
  Slice rport;     // value of the rport parameter; empty for an rport that only asks for one
  bool has_rport = false;
  uint16_t rport_at = 0;  // offset just behind the parameter name "rport" of an rport without value, else 0
};

// A name-addr or addr-spec with its tag (From, To).
struct AddressIndex {
  Slice value;  // the whole header value, folded lines included
  Slice uri;    // without < >
  Slice user;   // user part of a sip:, sips: or tel: URI, without password; may be empty
  Slice tag;    // value of the tag parameter behind the address; empty when absent
};

struct MessageIndex {
  IndexStatus status = IndexStatus::kBadStartLine;
  bool is_request = false;
  Method method = Method::kOther;  // of the request line; of CSeq for a response
  uint16_t status_code = 0;        // responses: 100..699
  Slice method_name;               // of the request line; of CSeq for a response
  Slice ruri;                      // requests
  Slice reason;                    // responses; may be empty
  uint16_t headers_at = 0;         // offset of the first header line
  uint16_t header_count = 0;
  uint32_t cseq_number = 0;
  int16_t max_forwards = -1;  // -1: absent
  uint16_t via_count = 0;     // Via values in all, over all lines
  ViaIndex via;               // the topmost
  AddressIndex from;
  AddressIndex to;
  Slice call_id;
  Slice cseq;     // the whole value, set even when it is malformed
  Slice contact;  // value of the first Contact header line
  Slice user_agent;
  Slice body;  // Content-Length bytes, or all that follows the headers when the header is absent (UDP)
};
static_assert(std::is_trivially_copyable_v<MessageIndex>);

struct IndexLimits {
  uint32_t max_message_bytes = kMaxMessageBytes;
  uint16_t max_headers = 256;
  uint16_t max_line_bytes = 8192;  // one header with its folded lines
  uint16_t max_vias = 70;          // Via values in all; as many hops as the usual Max-Forwards of 70 allows
};
// For what we have built ourselves: limits are for strangers.
inline constexpr IndexLimits kOwnLimits{.max_message_bytes = kMaxMessageBytes,
                                        .max_headers = UINT16_MAX,
                                        .max_line_bytes = UINT16_MAX,
                                        .max_vias = UINT16_MAX};

// Fills `out` as far as the message allows and returns out.status. A fault does not end the pass as long as header
// lines can still be told apart, so that a refused request can be answered; the first fault is the one reported.
IndexStatus index_message(const char* data, size_t size, const IndexLimits& limits, MessageIndex& out);

// True when a refused request still holds what a 400 needs: a request line, a Via with a host, From, To, Call-ID and
// CSeq, and it is no ACK.
bool is_answerable(const MessageIndex& index);

// One header as it stands in the message.
struct HeaderLine {
  HeaderId id = HeaderId::kOther;
  Slice name;
  Slice value;       // without surrounding white space; folded lines are still in it
  uint16_t end = 0;  // offset of the next header line
};

// The header line that starts at `at` (MessageIndex::headers_at for the first). False at the empty line or the end.
bool next_header(const char* data, size_t size, uint16_t at, HeaderLine& out);

// The next value of a header that allows several on one line (commas outside quotes and < >), RFC 3261 section 7.3.1.
// `at` is the offset inside `value` to go on from, and is advanced. False when there is none left.
bool next_value(const char* data, Slice value, uint16_t& at, Slice& out);

// Compares header names: any case, compact forms equal to long ones.
HeaderId header_id(std::string_view name);
bool header_name_equals(std::string_view a, std::string_view b);

// Reads one Via value. False when it is malformed.
bool read_via(const char* data, Slice value, ViaIndex& out);

}  // namespace sip_async::sip
