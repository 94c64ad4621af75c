// A value of a shared table: what can be copied between JavaScript threads without a thought.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace sip_async::core {

// Copying a value copies no text: all copies refer to one block that never changes. So a table hands a value out under
// its lock in a few instructions, however long it is, and the reader makes what it likes of it afterwards.
class SharedValue {
 public:
  enum class Kind : uint8_t { kMissing, kNumber, kBoolean, kText, kBytes };

  SharedValue() = default;
  static SharedValue of_number(double number) { return {Kind::kNumber, number, nullptr}; }
  static SharedValue of_boolean(bool boolean) { return {Kind::kBoolean, boolean ? 1.0 : 0.0, nullptr}; }
  static SharedValue of_text(std::string text) { return {Kind::kText, 0, share(std::move(text))}; }
  static SharedValue of_bytes(std::string bytes) { return {Kind::kBytes, 0, share(std::move(bytes))}; }

  Kind kind() const { return kind_; }
  double number() const { return number_; }
  bool boolean() const { return number_ != 0; }
  // The text or the bytes; empty for what has neither.
  std::string_view data() const { return block_ == nullptr ? std::string_view() : std::string_view(*block_); }

  bool operator==(const SharedValue& other) const {
    return kind_ == other.kind_ && number_ == other.number_ && data() == other.data();
  }

 private:
  using Block = std::shared_ptr<const std::string>;
  static Block share(std::string data) { return std::make_shared<const std::string>(std::move(data)); }
  SharedValue(Kind kind, double number, Block block)
      : kind_(kind), number_(number), block_(std::move(block)) {}

  Kind kind_ = Kind::kMissing;
  double number_ = 0;
  Block block_;
};

}  // namespace sip_async::core
