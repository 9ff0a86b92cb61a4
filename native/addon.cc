// The addon's entry: makes one ThreadState per JavaScript thread and defines the calls.
// Runs on: each thread that loads the addon. Owns: nothing itself, see state.h.
// When full: see the parts. On failure: a thread's clean-up hook closes whatever the thread had open.
#include <node_api.h>
#include <unistd.h>

#include "codec.h"
#include "errors.h"
#include "reactor.h"
#include "state.h"
#include "sync.h"
#include "values.h"

namespace hikyaku {

/** Raised with every change of the calls, so that a build of another version is not taken; see src/native/addon.ts. */
constexpr int32_t kFaceVersion = 5;

ThreadState::ThreadState(napi_env environment, uv_loop_t* event_loop) : env(environment), loop(event_loop) {
  napi_add_async_cleanup_hook(env, &ThreadState::CleanUp, this, &hook_);
}

ThreadState::~ThreadState() = default;

void ThreadState::HandleClosed() {
  --open_handles_;
  if (!ending_ || open_handles_ > 0) return;
  const napi_async_cleanup_hook_handle hook = hook_;
  delete this;
  napi_remove_async_cleanup_hook(hook);
}

void ThreadState::CleanUp(napi_async_cleanup_hook_handle, void* data) {
  auto* state = static_cast<ThreadState*>(data);
  state->HandleOpened();  // so that the state lives until the end of this function
  state->ending_ = true;
  for (Reactor* reactor : state->reactors) {
    if (reactor != nullptr) reactor->Shut();
  }
  for (const int fd : state->held) close(fd);
  state->held.clear();
  if (state->disk != nullptr) state->disk->Shut();
  if (state->on_disk != nullptr) napi_delete_reference(state->env, state->on_disk);
  state->HandleClosed();
}

napi_status CallIntoScript(napi_env env, napi_ref function, size_t count, const napi_value* arguments) {
  napi_value callee = nullptr;
  napi_value receiver = nullptr;
  napi_get_reference_value(env, function, &callee);
  napi_get_global(env, &receiver);
  const napi_status status = napi_make_callback(env, nullptr, receiver, callee, count, arguments, nullptr);
  if (status != napi_pending_exception) return status;
  napi_value error = nullptr;
  napi_valuetype type = napi_undefined;
  // A thread that is being terminated also ends here, with nothing that could be reported.
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok && error != nullptr &&
      napi_typeof(env, error, &type) == napi_ok && type == napi_object) {
    napi_fatal_exception(env, error);
  }
  return status;
}

namespace {

napi_value ErrnoNameCall(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  return String(env, ErrnoName(arguments.Int(0)));
}

}  // namespace
}  // namespace hikyaku

NAPI_MODULE_INIT() {
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return exports;
  auto* state = new hikyaku::ThreadState(env, loop);
  napi_set_named_property(env, exports, "faceVersion", hikyaku::Integer(env, hikyaku::kFaceVersion));
  hikyaku::Define(state, exports, "errnoName", &hikyaku::ErrnoNameCall);
  hikyaku::DefineSocketCalls(state, exports);
  hikyaku::DefineReactorCalls(state, exports);
  hikyaku::DefineSyncCalls(state, exports);
  hikyaku::DefineCodecCalls(state, exports);
  hikyaku::DefineMapCalls(state, exports);
  hikyaku::DefineDeathCalls(state, exports);
  return exports;
}
