// The few conversions between JavaScript values and C++ that the calls share. Arguments come from our own typed face
// (src/native/addon.ts), so a value of a wrong type is read as 0, null or "" rather than reported.
// Runs on: the calling thread. Owns: nothing. When full: a call has at most kMaxArguments. On failure: see above.
#pragma once

#include <node_api.h>

#include <cstdint>
#include <string>

#include "state.h"

namespace hikyaku {

constexpr size_t kMaxArguments = 11;

/** One call's arguments, read on demand: only integers and pointers on the hot ways. */
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info) : env_(env) {
    void* data = nullptr;
    napi_get_cb_info(env, info, &count_, values_, nullptr, &data);
    state_ = static_cast<ThreadState*>(data);
  }

  ThreadState* state() const { return state_; }
  napi_value at(size_t index) const { return values_[index]; }

  int32_t Int(size_t index) const {
    int32_t value = 0;
    napi_get_value_int32(env_, values_[index], &value);
    return value;
  }

  bool Bool(size_t index) const {
    bool value = false;
    napi_get_value_bool(env_, values_[index], &value);
    return value;
  }

  bool IsNull(size_t index) const {
    napi_valuetype type = napi_undefined;
    napi_typeof(env_, values_[index], &type);
    return type == napi_null || type == napi_undefined;
  }

  std::string Text(size_t index) const {
    size_t length = 0;
    if (napi_get_value_string_utf8(env_, values_[index], nullptr, 0, &length) != napi_ok) return {};
    std::string text(length, '\0');
    napi_get_value_string_utf8(env_, values_[index], &text[0], length + 1, &length);
    return text;
  }

 private:
  napi_env env_;
  ThreadState* state_ = nullptr;
  size_t count_ = kMaxArguments;
  napi_value values_[kMaxArguments] = {};
};

inline napi_value Integer(napi_env env, int64_t value) {
  napi_value result = nullptr;
  napi_create_int32(env, static_cast<int32_t>(value), &result);
  return result;
}

inline napi_value String(napi_env env, const std::string& text) {
  napi_value result = nullptr;
  napi_create_string_utf8(env, text.data(), text.size(), &result);
  return result;
}

inline void Define(ThreadState* state, napi_value exports, const char* name, napi_callback call) {
  napi_value function = nullptr;
  napi_create_function(state->env, name, NAPI_AUTO_LENGTH, call, state, &function);
  napi_set_named_property(state->env, exports, name, function);
}

}  // namespace hikyaku
