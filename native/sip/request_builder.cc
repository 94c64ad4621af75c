#include "sip/request_builder.h"

#include "sip/uri.h"
#include "sip/value_walk.h"
#include "sip/writer.h"

namespace sip_async::sip {
namespace {

constexpr std::string_view kMaxForwards = "70";  // RFC 3261 section 8.1.1.6

size_t end_of(Slice slice) {
  return size_t{slice.offset} + slice.length;
}

// Header lines of one message on their way into another. What is not changed is copied byte for byte: the spelling of the
// name, the white space, the folds, the line end.
class LineCopy {
 public:
  LineCopy(Writer& writer, const char* data) : writer_(writer), data_(data) {}

  void whole(const HeaderLine& line) { writer_.put(between(data_, line.name.offset, line.end)); }
  // The line up to its value, and from behind its value.
  void before_value(const HeaderLine& line) {
    writer_.put(between(data_, line.name.offset, line.value.offset));
  }
  void behind_value(const HeaderLine& line) { writer_.put(between(data_, end_of(line.value), line.end)); }

 private:
  Writer& writer_;
  const char* data_;
};

// The Route values that go on are one run of them: some are cut off in front, and perhaps one at the end.
class RouteCut {
 public:
  RouteCut(const ForwardParts& parts, const RoutePlan& plan) : first_(plan.skipped_values) {
    if (!plan.drops_last) return;
    ValueWalk walk(parts.data, parts.size, *parts.index, HeaderId::kRoute);
    size_t count = 0;
    for (Slice value; walk.next(value);) ++count;
    end_ = count == 0 ? 0 : count - 1;
  }

  void put(Writer& writer, const char* data, const HeaderLine& line) {
    Slice first, last;
    bool cuts = false;
    uint16_t at = 0;
    for (Slice value; next_value(data, line.value, at, value); ++seen_) {
      if (seen_ < first_ || seen_ >= end_) {
        cuts = true;
        continue;
      }
      if (first.empty()) first = value;
      last = value;
    }
    LineCopy copy(writer, data);
    if (!cuts) {
      copy.whole(line);
    } else if (!first.empty()) {
      copy.before_value(line);
      writer.put(between(data, first.offset, end_of(last)));
      copy.behind_value(line);
    }
  }

 private:
  size_t first_;
  size_t end_ = SIZE_MAX;
  size_t seen_ = 0;
};

class ForwardedRequest {
 public:
  ForwardedRequest(const ForwardParts& parts, const RoutePlan& plan, char* out, size_t capacity)
      : parts_(parts),
        data_(parts.data),
        index_(*parts.index),
        plan_(plan),
        writer_(out, capacity),
        copy_(writer_, data_),
        route_(parts, plan) {}

  size_t build() {
    writer_.put(index_.method_name.of(data_)).put(" ").put(plan_.ruri).put(" SIP/2.0\r\n");
    writer_.put("Via: ").put(parts_.via).put("\r\n");
    HeaderLine line;
    for (uint16_t at = index_.headers_at; next_header(data_, parts_.size, at, line); at = line.end) {
      if (line.id == HeaderId::kContentLength) continue;
      // Behind the Vias in front, so that those stay together; in front of any Record-Route of the message.
      if (line.id != HeaderId::kVia) put_own_lines();
      put_line(line);
    }
    put_own_lines();
    writer_.put(parts_.edits.appended_lines);
    if (!plan_.added_route.empty()) writer_.put("Route: <").put(plan_.added_route).put(">\r\n");
    put_body(writer_, parts_.edits.has_body ? parts_.edits.body : index_.body.of(data_));
    return writer_.size();
  }

 private:
  void put_own_lines() {
    if (has_own_lines_) return;
    has_own_lines_ = true;
    writer_.put(parts_.record_routes);
    if (index_.max_forwards >= 0) return;
    writer_.put("Max-Forwards: ").put_number(parts_.default_max_forwards).put("\r\n");
  }

  void put_line(const HeaderLine& line) {
    if (parts_.edits.removes(line.id, line.name.of(data_))) return;
    switch (line.id) {
      case HeaderId::kVia:
        if (has_top_via_) return copy_.whole(line);
        has_top_via_ = true;
        copy_.before_value(line);
        put_top_via(writer_, data_, index_.via, line.value, parts_.from.address);
        return copy_.behind_value(line);
      case HeaderId::kMaxForwards:
        copy_.before_value(line);
        writer_.put_number(static_cast<size_t>(index_.max_forwards - 1));
        return copy_.behind_value(line);
      case HeaderId::kRoute:
        return route_.put(writer_, data_, line);
      default:
        return copy_.whole(line);
    }
  }

  const ForwardParts& parts_;
  const char* data_;
  const MessageIndex& index_;
  const RoutePlan& plan_;
  Writer writer_;
  LineCopy copy_;
  RouteCut route_;
  bool has_own_lines_ = false;
  bool has_top_via_ = false;
};

// ACK and CANCEL: one hop's request with what makes it belong to `sent`.
size_t build_for_hop(std::string_view method, const char* sent, size_t size, const MessageIndex& index,
                     std::string_view to_value, std::string_view extra_lines, char* out, size_t capacity) {
  if (!index.is_request || index.via.value.empty()) return 0;
  Writer writer(out, capacity);
  LineCopy copy(writer, sent);
  writer.put(method).put(" ").put(index.ruri.of(sent)).put(" SIP/2.0\r\n");
  writer.put("Via: ").put(index.via.value.of(sent)).put("\r\nMax-Forwards: ").put(kMaxForwards).put("\r\n");
  HeaderLine line;
  for (uint16_t at = index.headers_at; next_header(sent, size, at, line); at = line.end) {
    if (line.id == HeaderId::kRoute) copy.whole(line);
  }
  writer.put("From: ").put(index.from.value.of(sent));
  writer.put("\r\nTo: ").put(to_value.empty() ? index.to.value.of(sent) : to_value);
  writer.put("\r\nCall-ID: ").put(index.call_id.of(sent));
  writer.put("\r\nCSeq: ").put_number(index.cseq_number).put(" ").put(method).put("\r\n");
  writer.put(extra_lines);
  put_body(writer, {});
  return writer.size();
}

bool is_challenge(std::string_view name) {
  return header_name_equals(name, "WWW-Authenticate") || header_name_equals(name, "Proxy-Authenticate");
}

}  // namespace

bool MessageEdits::removes(HeaderId id, std::string_view name) const {
  switch (id) {
    case HeaderId::kVia:
    case HeaderId::kFrom:
    case HeaderId::kTo:
    case HeaderId::kCallId:
    case HeaderId::kCseq:
    case HeaderId::kMaxForwards:
    case HeaderId::kContentLength:
      return false;
    default:
      break;
  }
  for (std::string_view names = removed_names; !names.empty();) {
    const size_t end = names.find('\n');
    if (header_name_equals(name, names.substr(0, end))) return true;
    if (end == std::string_view::npos) break;
    names.remove_prefix(end + 1);
  }
  return false;
}

size_t build_request(const ForwardParts& parts, char* out, size_t capacity) {
  const MessageIndex& index = *parts.index;
  if (!index.is_request || index.max_forwards == 0) return 0;
  RoutePlan plan;
  plan.ruri = index.ruri.of(parts.data);
  if (parts.route != nullptr) plan = *parts.route;
  // A URI may come from a script, which may have it from the network: it must not bring lines of its own.
  if (!check_request_uri(plan.ruri)) return 0;
  if (!plan.added_route.empty() && !check_request_uri(plan.added_route)) return 0;
  return ForwardedRequest(parts, plan, out, capacity).build();
}

size_t build_ack(const char* sent, size_t size, const MessageIndex& index, std::string_view to_value,
                 char* out, size_t capacity) {
  return build_for_hop("ACK", sent, size, index, to_value, {}, out, capacity);
}

size_t build_cancel(const char* sent, size_t size, const MessageIndex& index, std::string_view extra_lines,
                    char* out, size_t capacity) {
  return build_for_hop("CANCEL", sent, size, index, {}, extra_lines, out, capacity);
}

size_t copy_challenges(const char* data, size_t size, const MessageIndex& index, char* out, size_t capacity) {
  Writer writer(out, capacity);
  HeaderLine line;
  for (uint16_t at = index.headers_at; next_header(data, size, at, line); at = line.end) {
    if (!is_challenge(line.name.of(data))) continue;
    writer.put(between(data, line.name.offset, end_of(line.value))).put("\r\n");
  }
  return writer.size();
}

}  // namespace sip_async::sip
