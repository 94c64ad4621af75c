// The methods that have a number, by name. Names of methods compare byte by byte (RFC 3261 section 7.1).
#pragma once

#include <string_view>

#include "sip/header_index.h"

namespace sip_async::sip {

inline Method method_of(std::string_view name) {
  switch (name.size()) {
    case 3:
      if (name == "ACK") return Method::kAck;
      return name == "BYE" ? Method::kBye : Method::kOther;
    case 4:
      return name == "INFO" ? Method::kInfo : Method::kOther;
    case 5:
      if (name == "PRACK") return Method::kPrack;
      return name == "REFER" ? Method::kRefer : Method::kOther;
    case 6:
      if (name == "INVITE") return Method::kInvite;
      if (name == "CANCEL") return Method::kCancel;
      if (name == "NOTIFY") return Method::kNotify;
      return name == "UPDATE" ? Method::kUpdate : Method::kOther;
    case 7:
      if (name == "OPTIONS") return Method::kOptions;
      if (name == "PUBLISH") return Method::kPublish;
      return name == "MESSAGE" ? Method::kMessage : Method::kOther;
    case 8:
      return name == "REGISTER" ? Method::kRegister : Method::kOther;
    case 9:
      return name == "SUBSCRIBE" ? Method::kSubscribe : Method::kOther;
    default:
      return Method::kOther;
  }
}

}  // namespace sip_async::sip
