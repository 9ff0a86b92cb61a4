// Signals by which a process ends of its own doing: before it does, the signal's number and the thread that it found are
// left in a mapped file; and names of threads, for whoever looks at them from outside.
// Runs on: whichever thread the signal finds, on a stack of its own where it has one (an overflowed stack can run nothing);
// the calls on the calling thread. Owns: the handlers of the process, one mapped page, a stack for each thread.
// When full: a system without memory for a stack goes without; the handler then runs on the thread's own.
// On failure: -errno, and no mark is ever left: such an end then looks like one from outside.
//
// A handler does nothing but look up its thread and two stores; then the handler that was there before has its turn, V8's or a sanitizer's, or the
// default. One from another process (`kill -ABRT`) leaves no mark: that says nothing about what was done here.
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "state.h"
#include "values.h"

namespace hikyaku {

namespace {

/** V8 and compilers end what cannot be with a trap, or with an instruction that is none. */
constexpr int kDeadly[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGTRAP};
constexpr int kCount = sizeof kDeadly / sizeof kDeadly[0];
constexpr size_t kStackBytes = 64 * 1024;
/** Most threads that have a line of their own; beyond that one counts as without. */
constexpr int kLines = 1024;
/** What is left for a crash on a thread that has no line: the main one, a pool's. */
constexpr double kNoLine = -1;

struct sigaction g_before[kCount];
bool g_installed = false;
pthread_mutex_t g_installing = PTHREAD_MUTEX_INITIALIZER;
/** Where the mark goes. A page that was replaced stays mapped: a handler may just be writing to it. */
std::atomic<double*> g_mark{nullptr};
/** The kernel's number of the thread at each line, 0 for none. A handler may read it; thread-local memory it may not make. */
std::atomic<pid_t> g_threads[kLines];

pid_t OwnThread() { return static_cast<pid_t>(syscall(SYS_gettid)); }

/** The calling thread's line, `kNoLine` when it has none. */
double OwnLine() {
  const pid_t own = OwnThread();
  for (int line = 0; line < kLines; ++line) {
    if (g_threads[line].load(std::memory_order_relaxed) == own) return line;
  }
  return kNoLine;
}

/** What was sent to the process as a whole finds any thread, which says nothing. */
bool IsOfThread(const siginfo_t* info) { return info->si_code != SI_USER && info->si_code != SI_QUEUE; }

bool IsOurs(const siginfo_t* info) {
  // Raised by the kernel for what an instruction did, or sent by this process to itself, as abort() does.
  return info->si_code > 0 || info->si_pid == getpid();
}

void OnDeadly(int number, siginfo_t* info, void* context) {
  int which = 0;
  while (which < kCount - 1 && kDeadly[which] != number) ++which;
  const struct sigaction& before = g_before[which];
  volatile double* mark = IsOurs(info) ? g_mark.load(std::memory_order_acquire) : nullptr;
  const double earlier[] = {mark == nullptr ? 0 : mark[0], mark == nullptr ? 0 : mark[1]};
  if (mark != nullptr) {
    mark[1] = IsOfThread(info) ? OwnLine() : 0;
    mark[0] = number;
  }
  const bool has_handler = (before.sa_flags & SA_SIGINFO) != 0
                               ? before.sa_sigaction != nullptr
                               : before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN;
  if (has_handler) {
    if ((before.sa_flags & SA_SIGINFO) != 0) {
      before.sa_sigaction(number, info, context);
    } else {
      before.sa_handler(number);
    }
    struct sigaction now;
    const bool dies = sigaction(number, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 &&
                      now.sa_handler == SIG_DFL;
    // It was mended (V8 does that for WebAssembly) and life goes on.
    if (!dies && mark != nullptr) {
      mark[0] = earlier[0];
      mark[1] = earlier[1];
    }
    return;
  }
  // The instruction that did it runs again and ends the process, with a core that shows it; what was sent is sent again.
  struct sigaction plain;
  std::memset(&plain, 0, sizeof plain);
  plain.sa_handler = SIG_DFL;
  sigaction(number, &plain, nullptr);
  if (info->si_code <= 0) raise(number);
}

/** Installs the handlers, once per process. Returns 0, or an errno. */
int Install() {
  pthread_mutex_lock(&g_installing);
  int failure = 0;
  for (int which = 0; which < kCount && !g_installed && failure == 0; ++which) {
    // The one before is known before ours can run.
    if (sigaction(kDeadly[which], nullptr, &g_before[which]) != 0) failure = errno;
    struct sigaction ours;
    std::memset(&ours, 0, sizeof ours);
    ours.sa_sigaction = &OnDeadly;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&ours.sa_mask);
    if (failure == 0 && sigaction(kDeadly[which], &ours, nullptr) != 0) failure = errno;
  }
  if (failure == 0) g_installed = true;
  pthread_mutex_unlock(&g_installing);
  return failure;
}

/**
 * markDeaths(path, at): deaths of this process are noted at byte `at`, a multiple of 8, of the file's first page, and 8 bytes
 * on the line of the thread (0: not known, negative: of none); 0 or -errno.
 */
napi_value MarkDeaths(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  const int32_t at = arguments.Int(1);
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  if (at < 0 || at % 8 != 0 || static_cast<size_t>(at) + 16 > page) return Integer(env, -EINVAL);
  const int fd = open(arguments.Text(0).c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return Integer(env, -errno);
  int failure = posix_fallocate(fd, 0, at + 16);
  void* data = MAP_FAILED;
  if (failure == 0) {
    data = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) failure = errno;
  }
  close(fd);
  if (failure == 0) failure = Install();
  if (failure == 0) {
    g_mark.store(static_cast<double*>(data) + at / 8, std::memory_order_release);
  } else if (data != MAP_FAILED) {
    munmap(data, page);
  }
  return Integer(env, -failure);
}

/** ownLine(line): a crash of the calling thread is noted with this number, above 0, until the thread ends; 0 or -errno. */
napi_value TakeLine(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  const int32_t line = arguments.Int(0);
  if (line <= 0 || line >= kLines) return Integer(env, -EINVAL);
  g_threads[line].store(OwnThread(), std::memory_order_relaxed);
  return Integer(env, 0);
}

/** nameThread(name): what `top -H` and /proc call the calling thread; the kernel takes 15 bytes. */
napi_value NameThread(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  return Integer(env, prctl(PR_SET_NAME, arguments.Text(0).c_str()) == 0 ? 0 : -errno);
}

}  // namespace

SignalStack::SignalStack() {
  stack_t current;
  // A sanitizer gives every thread one of its own, and takes it back.
  if (sigaltstack(nullptr, &current) != 0 || (current.ss_flags & SS_DISABLE) == 0) return;
  void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) return;
  stack_t ours;
  std::memset(&ours, 0, sizeof ours);
  ours.ss_sp = memory;
  ours.ss_size = kStackBytes;
  if (sigaltstack(&ours, nullptr) == 0) {
    memory_ = memory;
  } else {
    munmap(memory, kStackBytes);
  }
}

SignalStack::~SignalStack() {
  // The kernel gives a thread's number to another one in time.
  const pid_t own = OwnThread();
  for (auto& thread : g_threads) {
    if (thread.load(std::memory_order_relaxed) == own) thread.store(0, std::memory_order_relaxed);
  }
  stack_t current;
  if (memory_ == nullptr || sigaltstack(nullptr, &current) != 0) return;
  if (current.ss_sp == memory_) {
    stack_t none;
    std::memset(&none, 0, sizeof none);
    none.ss_flags = SS_DISABLE;
    if (sigaltstack(&none, nullptr) != 0) return;
  }
  munmap(memory_, kStackBytes);
}

void DefineDeathCalls(ThreadState* state, napi_value exports) {
  Define(state, exports, "markDeaths", &MarkDeaths);
  Define(state, exports, "ownLine", &TakeLine);
  Define(state, exports, "nameThread", &NameThread);
}

}  // namespace hikyaku
