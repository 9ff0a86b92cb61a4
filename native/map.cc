// One file mapped shared: what a thread writes there is still in the file when the process has died, however it died.
// Runs on: the calling thread; each thread maps for itself. Owns: nothing; a mapping goes with its ArrayBuffer.
// When full: the file's blocks are reserved first, so that a full disk is an errno here and not a SIGBUS later.
// On failure: -errno, and no mapping.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "state.h"
#include "values.h"

namespace hikyaku {

namespace {

void Unmap(napi_env /*env*/, void* data, void* hint) { munmap(data, reinterpret_cast<size_t>(hint)); }

/** mapFile(path, bytes): an ArrayBuffer over the file's first bytes, which are zero where it was shorter; or -errno. */
napi_value MapFile(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  const int32_t wanted = arguments.Int(1);
  if (wanted <= 0) return Integer(env, -EINVAL);
  const auto bytes = static_cast<size_t>(wanted);
  const int fd = open(arguments.Text(0).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Integer(env, -errno);
  int failure = posix_fallocate(fd, 0, wanted);
  void* data = MAP_FAILED;
  if (failure == 0) {
    data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) failure = errno;
  }
  close(fd);
  if (failure != 0) return Integer(env, -failure);
  napi_value buffer = nullptr;
  if (napi_create_external_arraybuffer(env, data, bytes, &Unmap, reinterpret_cast<void*>(bytes), &buffer) == napi_ok) {
    return buffer;
  }
  munmap(data, bytes);
  return Integer(env, -ENOTSUP);
}

}  // namespace

void DefineMapCalls(ThreadState* state, napi_value exports) { Define(state, exports, "mapFile", &MapFile); }

}  // namespace hikyaku
