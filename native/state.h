// What one JavaScript thread (one N-API environment) has of the addon: its reactors, its disk thread, its held descriptors.
// Runs on: the thread of its environment. Owns: every descriptor and libuv handle that the addon made for that thread.
// When full: nothing here grows but by its owner's calls; descriptors end at the process's limit with EMFILE.
// On failure: a thread may be ended at any moment; the environment's clean-up closes everything, in order, waiting for
// libuv to let go of each handle before the memory goes.
#pragma once

#include <node_api.h>
#include <uv.h>

#include <memory>
#include <set>
#include <vector>

namespace hikyaku {

class Reactor;
class DiskThread;

/** The stack on which a thread dies (deaths.cc): its own may be what ended it. Made and ended on its thread. */
class SignalStack {
 public:
  SignalStack();
  ~SignalStack();
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;

 private:
  void* memory_ = nullptr;
};

struct ThreadState {
  explicit ThreadState(napi_env environment, uv_loop_t* event_loop);
  ~ThreadState();

  napi_env env;
  uv_loop_t* loop;
  /** By number; null once closed. A closed reactor deletes itself when libuv has let go of its handle. */
  std::vector<Reactor*> reactors;
  /** Locks and reserved ports: plain descriptors, closed with the thread so that its successor can take them. */
  std::set<int> held;
  /** Made with the first sync; null before and after. Deletes itself as a reactor does. */
  DiskThread* disk = nullptr;
  /** What the disk thread's results are given to. */
  napi_ref on_disk = nullptr;
  SignalStack signal_stack;

  /** Counts libuv handles that are not yet closed; the state outlives them. */
  void HandleOpened() { ++open_handles_; }
  void HandleClosed();
  /** The environment's clean-up: closes everything; the state is gone when the last handle has closed. */
  static void CleanUp(napi_async_cleanup_hook_handle hook, void* data);

 private:
  int open_handles_ = 0;
  bool ending_ = false;
  napi_async_cleanup_hook_handle hook_ = nullptr;
};

/** Calls a referenced function from libuv, as one whole turn of JavaScript; reports what it throws as uncaught. */
napi_status CallIntoScript(napi_env env, napi_ref function, size_t count, const napi_value* arguments);

void DefineSocketCalls(ThreadState* state, napi_value exports);
void DefineReactorCalls(ThreadState* state, napi_value exports);
void DefineSyncCalls(ThreadState* state, napi_value exports);
void DefineMapCalls(ThreadState* state, napi_value exports);
void DefineDeathCalls(ThreadState* state, napi_value exports);

}  // namespace hikyaku
