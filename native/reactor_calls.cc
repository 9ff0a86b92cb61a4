// The reactor's face to JavaScript: integers, strings and buffers in, integers out; the first argument is the reactor's
// number, the second mostly a slot. A call for a closed reactor or an empty slot does nothing or returns -EBADF.
// Runs on: the reactor's thread. Owns: nothing.
// When full: a send takes what fits (kTextBytes of text, kParts parts) and says how much.
// On failure: a negative errno is returned; nothing here throws.
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <initializer_list>

#include "reactor.h"
#include "values.h"

namespace hikyaku {

namespace {

/** A call's arguments with its reactor and slot. */
struct ReactorCall : Arguments {
  ReactorCall(napi_env env, napi_callback_info info) : Arguments(env, info) {
    const auto number = static_cast<size_t>(Int(0));
    if (number < state()->reactors.size()) reactor = state()->reactors[number];
    slot = static_cast<uint32_t>(Int(1));
  }
  Reactor* reactor = nullptr;
  uint32_t slot = 0;
};

/** openReactor(arena, rows, callback): number or -errno. */
napi_value OpenReactor(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Reactor::Buffers buffers{};
  napi_typedarray_type type = napi_int8_array;
  size_t arena_bytes = 0;
  size_t cells = 0;
  void* arena = nullptr;
  void* rows = nullptr;
  napi_get_typedarray_info(env, arguments.at(0), &type, &arena_bytes, &arena, nullptr, nullptr);
  if (type != napi_uint8_array || arena_bytes < Reactor::kReadBytes) return Integer(env, -EINVAL);
  napi_get_typedarray_info(env, arguments.at(1), &type, &cells, &rows, nullptr, nullptr);
  if (type != napi_int32_array || cells < 256 * Reactor::kRowCells) return Integer(env, -EINVAL);
  buffers.arena = static_cast<uint8_t*>(arena);
  buffers.arena_bytes = arena_bytes;
  buffers.rows = static_cast<int32_t*>(rows);
  buffers.row_count = cells / Reactor::kRowCells;
  napi_create_reference(env, arguments.at(0), 1, &buffers.arena_ref);
  napi_create_reference(env, arguments.at(1), 1, &buffers.rows_ref);
  napi_create_reference(env, arguments.at(2), 1, &buffers.callback_ref);
  ThreadState* state = arguments.state();
  int failure = 0;
  Reactor* reactor = Reactor::Open(state, state->reactors.size(), buffers, &failure);
  if (reactor == nullptr) return Integer(env, -failure);
  state->reactors.push_back(reactor);
  return Integer(env, static_cast<int64_t>(state->reactors.size()) - 1);
}

/** listen(reactor, host, port, backlog): slot or -errno. */
napi_value Listen(napi_env env, napi_callback_info info) {
  const ReactorCall call(env, info);
  Address address;
  if (call.reactor == nullptr) return Integer(env, -EBADF);
  if (!ParseAddress(call.Text(1), call.Int(2), &address)) return Integer(env, -EINVAL);
  const int fd = OpenListener(address, call.Int(3));
  return Integer(env, fd < 0 ? fd : call.reactor->AddListener(fd));
}

/** connect(reactor, address, port, unix, local, freeBind, transparent, device, mark, userTimeoutMs): slot or -errno. */
napi_value Connect(napi_env env, napi_callback_info info) {
  const ReactorCall call(env, info);
  if (call.reactor == nullptr) return Integer(env, -EBADF);
  ConnectPlan plan;
  if (!call.IsNull(3)) {
    plan.unix_path = call.Text(3);
    if (plan.unix_path.empty()) return Integer(env, -ENOENT);
  } else if (!ParseAddress(call.Text(1), call.Int(2), &plan.remote)) {
    return Integer(env, -EINVAL);
  }
  if (!call.IsNull(4) && !ParseAddress(call.Text(4), 0, &plan.local)) return Integer(env, -EINVAL);
  plan.free_bind = call.Bool(5);
  plan.transparent = call.Bool(6);
  if (!call.IsNull(7)) plan.device = call.Text(7);
  if (!call.IsNull(8)) {
    double mark = -1;
    napi_get_value_double(env, call.at(8), &mark);
    plan.mark = static_cast<int64_t>(mark);
  }
  plan.user_timeout_ms = call.Int(9);
  const int fd = StartConnect(plan);
  return Integer(env, fd < 0 ? fd : call.reactor->AddConnecting(fd, plan.remote));
}

/** sendText(reactor, slot, text): how many of its characters were sent, as bytes, or -errno. */
napi_value SendText(napi_env env, napi_callback_info info) {
  const ReactorCall call(env, info);
  if (call.reactor == nullptr) return Integer(env, -EBADF);
  size_t length = 0;
  char* scratch = call.reactor->text_scratch();
  napi_get_value_string_latin1(env, call.at(2), scratch, Reactor::kTextBytes + 1, &length);
  const iovec part{scratch, length};
  return Integer(env, call.reactor->Send(call.slot, &part, 1));
}

/** sendParts(reactor, slot, parts, skip): sends strings and byte arrays from `skip` bytes into the first one on. */
napi_value SendParts(napi_env env, napi_callback_info info) {
  const ReactorCall call(env, info);
  if (call.reactor == nullptr) return Integer(env, -EBADF);
  uint32_t length = 0;
  napi_get_array_length(env, call.at(2), &length);
  iovec parts[Reactor::kParts];
  size_t count = 0;
  size_t text_used = 0;
  auto skip = static_cast<size_t>(call.Int(3));
  bool whole = true;
  for (uint32_t i = 0; i < length && count < Reactor::kParts && whole; ++i) {
    napi_value item = nullptr;
    napi_typedarray_type type = napi_int8_array;
    void* bytes = nullptr;
    size_t size = 0;
    napi_get_element(env, call.at(2), i, &item);
    if (napi_get_typedarray_info(env, item, &type, &size, &bytes, nullptr, nullptr) != napi_ok) {
      size_t text_length = 0;
      napi_get_value_string_latin1(env, item, nullptr, 0, &text_length);
      const size_t room = Reactor::kTextBytes - text_used;
      bytes = call.reactor->text_scratch() + text_used;
      napi_get_value_string_latin1(env, item, static_cast<char*>(bytes), room + 1, &size);
      text_used += size;
      whole = size == text_length;
    }
    const size_t skipped = std::min(skip, size);
    skip = 0;
    if (size > skipped) parts[count++] = iovec{static_cast<uint8_t*>(bytes) + skipped, size - skipped};
  }
  return Integer(env, count == 0 ? 0 : call.reactor->Send(call.slot, parts, count));
}

napi_value Pause(napi_env env, napi_callback_info info) {
  const ReactorCall call(env, info);
  if (call.reactor != nullptr) call.reactor->Pause(call.slot);
  return nullptr;
}

napi_value Resume(napi_env env, napi_callback_info info) {
  const ReactorCall call(env, info);
  if (call.reactor != nullptr) call.reactor->Resume(call.slot);
  return nullptr;
}

napi_value AwaitWritable(napi_env env, napi_callback_info info) {
  const ReactorCall call(env, info);
  if (call.reactor != nullptr) call.reactor->AwaitWritable(call.slot);
  return nullptr;
}

/** finish(reactor, slot): 1 when the slot can be closed now, 0 when a `closed` row will come. */
napi_value Finish(napi_env env, napi_callback_info info) {
  const ReactorCall call(env, info);
  return Integer(env, call.reactor == nullptr || call.reactor->Finish(call.slot) ? 1 : 0);
}

napi_value Close(napi_env env, napi_callback_info info) {
  const ReactorCall call(env, info);
  if (call.reactor != nullptr) call.reactor->Close(call.slot);
  return nullptr;
}

/** detach(reactor, slot): the socket's descriptor, now the caller's, or -EBADF. */
napi_value Detach(napi_env env, napi_callback_info info) {
  const ReactorCall call(env, info);
  return Integer(env, call.reactor == nullptr ? -EBADF : call.reactor->Detach(call.slot));
}

/** relay(reactor, first, second, toFirst, toSecond): 0 or -errno. */
napi_value StartRelay(napi_env env, napi_callback_info info) {
  const ReactorCall call(env, info);
  if (call.reactor == nullptr) return Integer(env, -EBADF);
  Reactor::RelayStart start{};
  for (size_t i = 0; i < 2; ++i) {
    napi_typedarray_type type = napi_int8_array;
    void* bytes = nullptr;
    napi_get_typedarray_info(env, call.at(3 + i), &type, &start.length[i], &bytes, nullptr, nullptr);
    start.bytes[i] = static_cast<const uint8_t*>(bytes);
  }
  return Integer(env, call.reactor->StartRelay(call.slot, static_cast<uint32_t>(call.Int(2)), start));
}

/** relayBytes(reactor, first, way): bytes that have arrived. */
napi_value RelayBytes(napi_env env, napi_callback_info info) {
  const ReactorCall call(env, info);
  napi_value result = nullptr;
  const uint64_t bytes = call.reactor == nullptr ? 0 : call.reactor->RelayBytes(call.slot, call.Int(2));
  napi_create_double(env, static_cast<double>(bytes), &result);
  return result;
}

/** endRelay(reactor, first): closes both ends. */
napi_value EndRelay(napi_env env, napi_callback_info info) {
  const ReactorCall call(env, info);
  if (call.reactor != nullptr) call.reactor->EndRelay(call.slot);
  return nullptr;
}

napi_value RemoteAddress(napi_env env, napi_callback_info info) {
  const ReactorCall call(env, info);
  return String(env, call.reactor == nullptr ? "" : call.reactor->RemoteAddress(call.slot).text());
}

napi_value LocalAddressCall(napi_env env, napi_callback_info info) {
  const ReactorCall call(env, info);
  return String(env, call.reactor == nullptr ? "" : call.reactor->LocalAddressOf(call.slot).text());
}

napi_value LocalPort(napi_env env, napi_callback_info info) {
  const ReactorCall call(env, info);
  return Integer(env, call.reactor == nullptr ? 0 : call.reactor->LocalAddressOf(call.slot).port());
}

napi_value CloseReactor(napi_env env, napi_callback_info info) {
  const ReactorCall call(env, info);
  if (call.reactor != nullptr) call.reactor->Shut();
  return nullptr;
}

}  // namespace

void DefineReactorCalls(ThreadState* state, napi_value exports) {
  Define(state, exports, "openReactor", &OpenReactor);
  Define(state, exports, "listen", &Listen);
  Define(state, exports, "connect", &Connect);
  Define(state, exports, "sendText", &SendText);
  Define(state, exports, "sendParts", &SendParts);
  Define(state, exports, "pause", &Pause);
  Define(state, exports, "resume", &Resume);
  Define(state, exports, "awaitWritable", &AwaitWritable);
  Define(state, exports, "finish", &Finish);
  Define(state, exports, "close", &Close);
  Define(state, exports, "detach", &Detach);
  Define(state, exports, "relay", &StartRelay);
  Define(state, exports, "relayBytes", &RelayBytes);
  Define(state, exports, "endRelay", &EndRelay);
  Define(state, exports, "remoteAddress", &RemoteAddress);
  Define(state, exports, "localAddress", &LocalAddressCall);
  Define(state, exports, "localPort", &LocalPort);
  Define(state, exports, "closeReactor", &CloseReactor);
}

}  // namespace hikyaku
