// The disk thread, see sync.h; and the calls for syncs, free space and locks.
// Runs on, Owns, When full, On failure: sync.h. Locks are descriptors in ThreadState.held.
#include "sync.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <cerrno>
#include <system_error>
#include <utility>

#include "values.h"

namespace hikyaku {

namespace {

int SyncDescriptor(int fd, int (*sync)(int)) {
  int result = 0;
  do {
    result = sync(fd);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

int SyncDirectory(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return errno;
  const int failure = SyncDescriptor(fd, &fsync);
  close(fd);
  return failure;
}

int MeasureSpace(const std::string& path, double (&space)[4]) {
  struct statvfs info {};
  if (statvfs(path.c_str(), &info) != 0) return errno;
  const auto block = static_cast<double>(info.f_frsize);
  const auto available = static_cast<double>(info.f_bavail);
  // What root alone may use counts as neither free nor there, as `df` does.
  space[0] = available * block;
  space[1] = (static_cast<double>(info.f_blocks) - static_cast<double>(info.f_bfree) + available) * block;
  space[2] = static_cast<double>(info.f_favail);
  space[3] = static_cast<double>(info.f_files);
  return 0;
}

void Perform(DiskJob* job) {
  switch (job->kind) {
    case DiskJob::Kind::kSync:
      job->failure = SyncDescriptor(job->fd, &fdatasync);
      return;
    case DiskJob::Kind::kSyncDirectory:
      job->failure = SyncDirectory(job->path);
      return;
    case DiskJob::Kind::kFreeSpace:
      job->failure = MeasureSpace(job->path, job->space);
      return;
    case DiskJob::Kind::kTrim:
#ifdef __GLIBC__
      malloc_trim(0);
#endif
      return;
  }
}

}  // namespace

DiskThread* DiskThread::Start(ThreadState* state) {
  auto* disk = new DiskThread(state);
  const auto on_wake = [](uv_async_t* wake) { static_cast<DiskThread*>(wake->data)->DeliverResults(); };
  if (uv_async_init(state->loop, &disk->wake_, on_wake) != 0) {
    delete disk;
    return nullptr;
  }
  state->HandleOpened();
  disk->wake_.data = disk;
  uv_unref(reinterpret_cast<uv_handle_t*>(&disk->wake_));
  try {
    disk->thread_ = std::thread([disk] { disk->Run(); });
  } catch (const std::system_error&) {
    disk->Shut();
    return nullptr;
  }
  return disk;
}

void DiskThread::Shut() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  work_.notify_one();
  if (thread_.joinable()) thread_.join();
  state_->disk = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(&wake_), [](uv_handle_t* handle) {
    auto* disk = static_cast<DiskThread*>(handle->data);
    ThreadState* owner = disk->state_;
    delete disk;
    owner->HandleClosed();
  });
}

void DiskThread::Submit(DiskJob job) {
  if (outstanding_++ == 0) uv_ref(reinterpret_cast<uv_handle_t*>(&wake_));
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    waiting_.push_back(std::move(job));
  }
  work_.notify_one();
}

void DiskThread::Run() {
  prctl(PR_SET_NAME, "hk-disk");
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    work_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    DiskJob job = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    Perform(&job);
    lock.lock();
    done_.push_back(std::move(job));
    if (!stopping_) uv_async_send(&wake_);
  }
}

void DiskThread::DeliverResults() {
  std::vector<DiskJob> results;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    results.swap(done_);
  }
  outstanding_ -= results.size();
  if (outstanding_ == 0) uv_unref(reinterpret_cast<uv_handle_t*>(&wake_));
  // A callback may end the thread's environment, not this object: that goes only with libuv's close callback.
  napi_env env = state_->env;
  for (const DiskJob& job : results) {
    napi_handle_scope scope = nullptr;
    if (state_->on_disk == nullptr || napi_open_handle_scope(env, &scope) != napi_ok) return;
    napi_value arguments[6] = {Integer(env, job.token), Integer(env, job.failure)};
    for (size_t i = 0; i < 4; ++i) napi_create_double(env, job.space[i], &arguments[i + 2]);
    CallIntoScript(env, state_->on_disk, 6, arguments);
    napi_close_handle_scope(env, scope);
  }
}

namespace {

/** Returns 0, or -errno when the job could not even be queued. */
napi_value Submit(napi_env env, const Arguments& arguments, DiskJob job) {
  ThreadState* state = arguments.state();
  if (state->disk == nullptr) state->disk = DiskThread::Start(state);
  if (state->disk == nullptr) return Integer(env, -EAGAIN);
  state->disk->Submit(std::move(job));
  return Integer(env, 0);
}

/** onDisk(callback): sets who gets (token, errno, freeBytes, totalBytes, freeInodes, totalInodes). */
napi_value OnDisk(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  ThreadState* state = arguments.state();
  if (state->on_disk != nullptr) napi_delete_reference(env, state->on_disk);
  napi_create_reference(env, arguments.at(0), 1, &state->on_disk);
  return nullptr;
}

/** syncData(token, fd): queues an fdatasync. */
napi_value SyncData(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  return Submit(env, arguments, DiskJob{DiskJob::Kind::kSync, arguments.Int(0), arguments.Int(1), {}, 0, {}});
}

/** syncDirectory(token, path): queues an fsync of a directory. */
napi_value SyncDirectoryCall(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  return Submit(env, arguments,
                DiskJob{DiskJob::Kind::kSyncDirectory, arguments.Int(0), -1, arguments.Text(1), 0, {}});
}

/** freeSpace(token, path): queues a statvfs. */
napi_value FreeSpaceCall(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  return Submit(env, arguments, DiskJob{DiskJob::Kind::kFreeSpace, arguments.Int(0), -1, arguments.Text(1), 0, {}});
}

/** trimMemory(token): queues giving back to the system what malloc holds for later. */
napi_value TrimMemory(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  return Submit(env, arguments, DiskJob{DiskJob::Kind::kTrim, arguments.Int(0), -1, {}, 0, {}});
}

/** lock(path): descriptor of the locked file, or -errno (-EAGAIN: somebody else has it). */
napi_value Lock(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  const int fd = open(arguments.Text(0).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return Integer(env, -errno);
  // A lock of the open file, not of the process: it also keeps out another thread of ours.
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int failure = errno;
    close(fd);
    return Integer(env, -failure);
  }
  arguments.state()->held.insert(fd);
  return Integer(env, fd);
}

}  // namespace

void DefineSyncCalls(ThreadState* state, napi_value exports) {
  Define(state, exports, "onDisk", &OnDisk);
  Define(state, exports, "syncData", &SyncData);
  Define(state, exports, "syncDirectory", &SyncDirectoryCall);
  Define(state, exports, "freeSpace", &FreeSpaceCall);
  Define(state, exports, "trimMemory", &TrimMemory);
  Define(state, exports, "lock", &Lock);
}

}  // namespace hikyaku
