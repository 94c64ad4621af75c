// Where the bytes of the tasks of a batch are laid, so that the script has them without asking for each: a piece of memory that
// JavaScript allocates and hands over. What was laid there belongs to the script; nothing is ever laid over it. When it is used
// up, the script hands over another.
#pragma once

#include <node_api.h>

#include <cstdint>
#include <cstring>

#include "core/data_task.h"

namespace sip_async::node {

class TaskBytes {
 public:
  // In place of where the bytes begin.
  static constexpr uint32_t kAsk = 0xffff'ffff;  // a text, or too much to be laid here: taskData has it
  static constexpr uint32_t kNoRoom =
      0xffff'fffe;  // the same, and there would be room if there were another memory
  // More would leave too much of the memory unused, and what is kept of it by a small task would weigh too much.
  static constexpr uint32_t kMostBytes = 4096;

  void use(napi_env env, napi_value memory) {
    forget(env);
    napi_typedarray_type type;
    void* data = nullptr;
    size_t size = 0;
    if (napi_get_typedarray_info(env, memory, &type, &size, &data, nullptr, nullptr) != napi_ok) return;
    napi_create_reference(env, memory, 1, &reference_);
    data_ = static_cast<char*>(data);
    size_ = size;
  }

  void forget(napi_env env) {
    if (reference_ != nullptr) napi_delete_reference(env, reference_);
    reference_ = nullptr;
    data_ = nullptr;
    size_ = 0;
    used_ = 0;
  }

  // Where the bytes of a task begin, or why they are not here.
  uint32_t lay(const core::TaskData& task) {
    if (task.is_text != 0 || task.size > kMostBytes) return kAsk;
    if (data_ == nullptr || task.size > size_ - used_) return kNoRoom;
    const size_t at = used_;
    if (task.size != 0) memcpy(data_ + at, task.bytes(), task.size);
    // Aligned, for scripts that read numbers.
    used_ = at + ((task.size + 7) & ~size_t{7});
    if (used_ > size_) used_ = size_;
    return static_cast<uint32_t>(at);
  }

 private:
  napi_ref reference_ = nullptr;
  char* data_ = nullptr;
  size_t size_ = 0;
  size_t used_ = 0;
};

}  // namespace sip_async::node
