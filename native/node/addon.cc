// The export table. binding.d.ts is its contract; a test holds the two together.
#include "node/environment.h"

using sip_async::node::Export;

NAPI_MODULE_INIT() {
  namespace node = sip_async::node;
  node::Environment::install(env);
  for (const auto* table :
       {&node::kEngineExports, &node::kChannelExports, &node::kTransactionExports, &node::kMessageExports,
        &node::kTaskExports, &node::kSharedExports, &node::kRelayExports, &node::kStreamExports,
        &node::kOperationExports, &node::kNoticeExports}) {
    for (const Export& entry : *table) {
      napi_value function;
      if (napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.function, nullptr, &function) !=
              napi_ok ||
          napi_set_named_property(env, exports, entry.name, function) != napi_ok) {
        return nullptr;
      }
    }
  }
  napi_set_named_property(env, exports, "constants", node::make_constants(env));
  return exports;
}
