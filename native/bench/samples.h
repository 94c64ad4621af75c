// Messages as they come from the field.
#pragma once

#include <string>

namespace sip_async::bench {

inline const std::string kOptions =
    "OPTIONS sip:ping@127.0.0.1:5060;transport=udp SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.17:45060;rport;branch=z9hG4bK-524287-1-0\r\n"
    "Max-Forwards: 70\r\n"
    "From: \"sipp\" <sip:sipp@192.0.2.17:45060>;tag=524287SIPpTag001\r\n"
    "To: <sip:ping@127.0.0.1:5060>\r\n"
    "Call-ID: 1-524287@192.0.2.17\r\n"
    "CSeq: 1 OPTIONS\r\n"
    "Contact: <sip:sipp@192.0.2.17:45060>\r\n"
    "User-Agent: load generator 1.0\r\n"
    "Content-Length: 0\r\n\r\n";

inline const std::string kSdp =
    "v=0\r\no=user1 53655765 2353687637 IN IP4 192.0.2.17\r\ns=-\r\nc=IN IP4 192.0.2.17\r\nt=0 0\r\n"
    "m=audio 6000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
    "a=rtpmap:101 telephone-event/8000\r\n";

inline const std::string kInvite =
    "INVITE sip:+4930123456@example.com;user=phone SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.17:5060;branch=z9hG4bKnashds8;rport\r\n"
    "Max-Forwards: 70\r\n"
    "To: <sip:+4930123456@example.com;user=phone>\r\n"
    "From: \"Alice\" <sip:alice@example.com>;tag=1928301774\r\n"
    "Call-ID: a84b4c76e66710@192.0.2.17\r\n"
    "CSeq: 314159 INVITE\r\n"
    "Contact: <sip:alice@192.0.2.17:5060>\r\n"
    "Supported: replaces, 100rel, timer\r\n"
    "Content-Type: application/sdp\r\n"
    "Content-Length: " +
    std::to_string(kSdp.size()) + "\r\n\r\n" + kSdp;

}  // namespace sip_async::bench
