// What to do with an exception that leaves a callback of the script's.
#pragma once

#include <node_api.h>

namespace sip_async::node {

// An exception that escaped the script's own catching would be swallowed by Node here; it is handed on as an uncaught one.
inline void surface_exception(napi_env env) {
  bool pending = false;
  napi_value exception = nullptr;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
    napi_fatal_exception(env, exception);
  }
}

}  // namespace sip_async::node
