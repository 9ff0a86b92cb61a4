// One thread that does a JavaScript thread's blocking calls: fdatasync, a directory's fsync, statvfs, malloc_trim. Not libuv's
// pool, because that one is shared by the whole process: a few slow look-ups there would hold up every commit.
// Runs on: start, results: the owning thread; the calls: its own thread. Owns: the queue of jobs, the uv_async handle.
// When full: the queue holds one job per descriptor and waiter group, which the script bounds (src/native/sync-groups.ts).
// On failure: each job's errno goes to its caller. At the end of the owner the running job is waited for.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "state.h"

namespace hikyaku {

struct DiskJob {
  enum class Kind { kSync, kSyncDirectory, kFreeSpace, kTrim };
  Kind kind;
  /** The caller's number for this job, given back with its result. */
  int32_t token;
  int fd;
  std::string path;
  /** Results: errno or 0; free bytes, total bytes, free inodes, total inodes. */
  int failure;
  double space[4];
};

class DiskThread {
 public:
  /** Null when the handle or the thread could not be made. */
  static DiskThread* Start(ThreadState* state);
  void Submit(DiskJob job);
  /** Waits for the running job, drops the others, and deletes this when libuv has let go of the handle. */
  void Shut();

 private:
  explicit DiskThread(ThreadState* state) : state_(state) {}
  ~DiskThread() = default;
  void Run();
  void DeliverResults();

  ThreadState* state_;
  uv_async_t wake_{};
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable work_;
  std::deque<DiskJob> waiting_;
  std::vector<DiskJob> done_;
  bool stopping_ = false;
  /** Jobs whose results have not been delivered; only then does the handle keep the loop alive. */
  size_t outstanding_ = 0;
};

}  // namespace hikyaku
