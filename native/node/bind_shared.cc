// Shared tables. Values are copied out of a table before any JavaScript value is made of them, so that nothing of Node
// runs while a table is locked.
#include <algorithm>
#include <initializer_list>

#include "core/clock.h"
#include "node/args.h"
#include "node/environment.h"
#include "node/shared_tables.h"
#include "node/text.h"

namespace sip_async::node {

namespace {

using core::SharedOutcome;
using core::SharedTable;
using core::SharedValue;

// Writes as many of the figures as there is room for.
void write_figures(napi_env env, napi_value array, std::initializer_list<double> figures) {
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, array, &type, &length, &data, nullptr, nullptr) != napi_ok) return;
  if (type != napi_float64_array) return;
  std::copy_n(figures.begin(), std::min(length, figures.size()), static_cast<double*>(data));
}

template <size_t Count>
SharedTable* table_of(const Args<Count>& args) {
  return SharedTables::instance().at(args.u32(0));
}

uint64_t expire_ms_of(double expire_ms) {
  return expire_ms < 0 ? SharedTable::kTableExpiry : static_cast<uint64_t>(expire_ms);
}

// False when the value is so long that the table could never hold it; it is not copied then.
bool read_value(napi_env env, napi_value from, const SharedTable& table, size_t key_bytes, SharedValue& out) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, from, &type);
  if (type == napi_number) {
    double number = 0;
    napi_get_value_double(env, from, &number);
    out = SharedValue::of_number(number);
  } else if (type == napi_boolean) {
    bool boolean = false;
    napi_get_value_bool(env, from, &boolean);
    out = SharedValue::of_boolean(boolean);
  } else if (type == napi_string) {
    size_t units = 0;
    napi_get_value_string_utf16(env, from, nullptr, 0, &units);
    if (!table.could_hold(key_bytes, units)) return false;  // in UTF-8 it is no shorter
    out = SharedValue::of_text(std::string(Utf8(env, from).view()));
  } else {
    void* data = nullptr;
    size_t length = 0;
    if (napi_get_typedarray_info(env, from, nullptr, &length, &data, nullptr, nullptr) != napi_ok) length = 0;
    if (!table.could_hold(key_bytes, length)) return false;
    out = SharedValue::of_bytes(std::string(static_cast<const char*>(data), length));
  }
  return true;
}

napi_value make_value(napi_env env, const SharedValue& value) {
  napi_value out = nullptr;
  switch (value.kind()) {
    case SharedValue::Kind::kMissing:
      return make_null(env);
    case SharedValue::Kind::kNumber:
      return make_double(env, value.number());
    case SharedValue::Kind::kBoolean:
      return make_bool(env, value.boolean());
    case SharedValue::Kind::kText:
      return make_text(env, value.data());
    case SharedValue::Kind::kBytes:
      napi_create_buffer_copy(env, value.data().size(), value.data().data(), nullptr, &out);
      return out;
  }
  return make_null(env);
}

napi_value open(napi_env env, napi_callback_info info) {
  const Args<5> args(env, info);
  core::SharedTableLimits limits;
  limits.max_entries = static_cast<uint64_t>(args.number(1));
  limits.max_bytes = static_cast<uint64_t>(args.number(2));
  limits.expire_ms = static_cast<uint64_t>(args.number(3));
  limits.update_expire = args.boolean(4);
  return make_i32(env, SharedTables::instance().open(args.text(0), limits));
}

napi_value limits(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  SharedTable* table = table_of(args);
  if (table == nullptr) return nullptr;
  // In the order of kSharedLimits.
  const core::SharedTableLimits& is = table->limits();
  write_figures(env, args[1],
                {static_cast<double>(is.max_entries), static_cast<double>(is.max_bytes),
                 static_cast<double>(is.expire_ms), is.update_expire ? 1.0 : 0.0});
  return nullptr;
}

napi_value get(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  SharedTable* table = table_of(args);
  if (table == nullptr) return make_null(env);
  return make_value(env, table->get(Utf8(env, args[1]).view(), core::now_ns()));
}

napi_value has(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  SharedTable* table = table_of(args);
  return make_bool(env, table != nullptr && table->has(Utf8(env, args[1]).view(), core::now_ns()));
}

napi_value set(napi_env env, napi_callback_info info) {
  const Args<5> args(env, info);
  SharedTable* table = table_of(args);
  if (table == nullptr) return make_bool(env, false);
  const Utf8 key(env, args[1]);
  SharedValue value;
  if (!read_value(env, args[2], *table, key.view().size(), value)) {
    // What is there already is not replaced in any case, so it is not the length that refuses.
    const bool present = args.boolean(4) && table->has(key.view(), core::now_ns());
    if (!present) table->count_refused();
    return make_bool(env, false);
  }
  const uint64_t expire_ms = expire_ms_of(args.number(3));
  const SharedOutcome outcome =
      args.boolean(4) ? table->set_if_absent(key.view(), std::move(value), core::now_ns(), expire_ms)
                      : table->set(key.view(), std::move(value), core::now_ns(), expire_ms);
  return make_bool(env, outcome == SharedOutcome::kOk);
}

napi_value inc(napi_env env, napi_callback_info info) {
  const Args<4> args(env, info);
  SharedTable* table = table_of(args);
  if (table == nullptr) return make_null(env);
  double sum = 0;
  const SharedOutcome outcome = table->inc(Utf8(env, args[1]).view(), args.number(2), core::now_ns(),
                                           expire_ms_of(args.number(3)), sum);
  return outcome == SharedOutcome::kOk ? make_double(env, sum) : make_null(env);
}

napi_value erase(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  SharedTable* table = table_of(args);
  return make_bool(env, table != nullptr && table->erase(Utf8(env, args[1]).view(), core::now_ns()));
}

napi_value clear(napi_env env, napi_callback_info info) {
  const Args<1> args(env, info);
  if (SharedTable* table = table_of(args)) table->clear();
  return nullptr;
}

napi_value scan(napi_env env, napi_callback_info info) {
  constexpr size_t kEnough = 256;
  const Args<2> args(env, info);
  core::SharedSnapshot copy;
  uint32_t part = args.u32(1);
  bool more = false;
  if (SharedTable* table = table_of(args)) {
    const uint64_t now_ns = core::now_ns();
    while (part < table->parts() && copy.items.size() < kEnough) table->snapshot(part++, now_ns, copy);
    more = part < table->parts();
  }
  napi_value out;
  napi_create_array_with_length(env, 1 + 2 * copy.items.size(), &out);
  napi_set_element(env, out, 0, make_i32(env, more ? static_cast<int32_t>(part) : -1));
  uint32_t at = 1;
  size_t begin = 0;
  for (const auto& [key_end, value] : copy.items) {
    napi_handle_scope scope;
    napi_open_handle_scope(env, &scope);
    const std::string_view key = std::string_view(copy.keys).substr(begin, key_end - begin);
    napi_set_element(env, out, at++, make_text(env, key));
    napi_set_element(env, out, at++, make_value(env, value));
    napi_close_handle_scope(env, scope);
    begin = key_end;
  }
  return out;
}

napi_value stats(napi_env env, napi_callback_info info) {
  const Args<2> args(env, info);
  SharedTable* table = table_of(args);
  if (table == nullptr) return nullptr;
  // In the order of kSharedStats.
  const core::SharedTableStats is = table->stats(core::now_ns());
  write_figures(env, args[1],
                {static_cast<double>(is.entries), static_cast<double>(is.bytes),
                 static_cast<double>(is.expired), static_cast<double>(is.refused)});
  return nullptr;
}

}  // namespace

const std::vector<Export> kSharedExports = {
    {"sharedOpen", open}, {"sharedLimits", limits}, {"sharedGet", get},      {"sharedHas", has},
    {"sharedSet", set},   {"sharedInc", inc},       {"sharedDelete", erase}, {"sharedClear", clear},
    {"sharedScan", scan}, {"sharedStats", stats},
};

}  // namespace sip_async::node
