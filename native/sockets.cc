// Sockets as the reactor needs them, see sockets.h; and the calls that reserve a port.
// Runs on: the calling thread. Owns: nothing (reserved ports are in ThreadState.held).
// When full, on failure: -errno, nothing left behind.
#include "sockets.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "values.h"

namespace hikyaku {

namespace {

/** Closes its descriptor unless it is released. */
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }
  int Release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
};

bool Set(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof value) == 0; }

int NewSocket(int family) { return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

/** An IPv6 listener takes IPv4 too only when it listens on all addresses. */
bool SetFamilyOptions(int fd, const Address& address) {
  if (address.family() != AF_INET6) return true;
  return Set(fd, IPPROTO_IPV6, IPV6_V6ONLY, IN6_IS_ADDR_UNSPECIFIED(&address.at.v6.sin6_addr) ? 0 : 1);
}

bool BindSource(int fd, const ConnectPlan& plan) {
  const bool v6 = plan.local.family() == AF_INET6;
  if (plan.free_bind && !Set(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, 1)) return false;
  if (plan.transparent && !Set(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, 1)) {
    return false;
  }
  // The port is chosen at connect, by destination: one source address can then have far more connections than ports.
  if (plan.local.port() == 0 && !Set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)) return false;
  return bind(fd, &plan.local.at.any, plan.local.length) == 0;
}

int StartUnixConnect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return -ENAMETOOLONG;
  std::memcpy(address.sun_path, path.data(), path.size());
  Descriptor made(NewSocket(AF_UNIX));
  if (made.get() < 0) return -errno;
  // A unix connect never stays in progress: EAGAIN means that the listener's queue is full, which is a refusal.
  if (connect(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return -errno;
  return made.Release();
}

}  // namespace

uint16_t Address::port() const {
  if (family() == AF_INET) return ntohs(at.v4.sin_port);
  if (family() == AF_INET6) return ntohs(at.v6.sin6_port);
  return 0;
}

std::string Address::text() const {
  char buffer[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET) {
    inet_ntop(AF_INET, &at.v4.sin_addr, buffer, sizeof buffer);
  } else if (family() == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&at.v6.sin6_addr)) {
    inet_ntop(AF_INET, &at.v6.sin6_addr.s6_addr[12], buffer, sizeof buffer);
  } else if (family() == AF_INET6) {
    inet_ntop(AF_INET6, &at.v6.sin6_addr, buffer, sizeof buffer);
  }
  return buffer;
}

bool ParseAddress(const std::string& host, int port, Address* out) {
  Address address;
  if (inet_pton(AF_INET, host.c_str(), &address.at.v4.sin_addr) == 1) {
    address.at.v4.sin_family = AF_INET;
    address.at.v4.sin_port = htons(static_cast<uint16_t>(port));
    address.length = sizeof address.at.v4;
  } else if (inet_pton(AF_INET6, host.c_str(), &address.at.v6.sin6_addr) == 1) {
    address.at.v6.sin6_family = AF_INET6;
    address.at.v6.sin6_port = htons(static_cast<uint16_t>(port));
    address.length = sizeof address.at.v6;
  } else {
    return false;
  }
  *out = address;
  return true;
}

Address LocalAddress(int fd) {
  Address address;
  address.length = sizeof address.at;
  if (getsockname(fd, &address.at.any, &address.length) != 0) address.length = 0;
  return address;
}

int SocketError(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
}

int TryBind(const Address& address) {
  Descriptor made(NewSocket(address.family()));
  if (made.get() < 0) return errno;
  ConnectPlan plan;
  plan.local = address;
  return BindSource(made.get(), plan) ? 0 : errno;
}

int OpenListener(const Address& address, int backlog) {
  Descriptor made(NewSocket(address.family()));
  const int fd = made.get();
  if (fd < 0) return -errno;
  // SO_REUSEADDR as well as SO_REUSEPORT: accepted sockets inherit both, so that their TIME_WAIT remains let
  // ReservePort's probe pass after a restart. TCP_NODELAY is inherited too, which saves a call per connection.
  if (!Set(fd, SOL_SOCKET, SO_REUSEADDR, 1) || !Set(fd, SOL_SOCKET, SO_REUSEPORT, 1) ||
      !Set(fd, IPPROTO_TCP, TCP_NODELAY, 1) || !SetFamilyOptions(fd, address) ||
      bind(fd, &address.at.any, address.length) != 0 || listen(fd, backlog) != 0) {
    return -errno;
  }
  return made.Release();
}

int ReservePort(const Address& address) {
  // The probe: without SO_REUSEPORT it is refused by everybody who listens here and by everybody's reservation
  // (which has no SO_REUSEADDR); with SO_REUSEADDR it passes what is left in TIME_WAIT. It listens for a moment,
  // because of two such probes at the same time the kernel lets only one listen.
  Descriptor probe(NewSocket(address.family()));
  if (probe.get() < 0) return -errno;
  if (!Set(probe.get(), SOL_SOCKET, SO_REUSEADDR, 1) || !SetFamilyOptions(probe.get(), address) ||
      bind(probe.get(), &address.at.any, address.length) != 0 || listen(probe.get(), 0) != 0 ||
      !Set(probe.get(), SOL_SOCKET, SO_REUSEPORT, 1)) {
    return -errno;
  }
  const Address bound = LocalAddress(probe.get());
  // The holder takes over while the probe still listens, so the port is never free in between. The second try is for
  // a process without privilege whose predecessor left orphaned connections: those only pass with SO_REUSEADDR.
  int failure = EADDRINUSE;
  for (int reuse = 0; reuse <= 1 && failure == EADDRINUSE; ++reuse) {
    Descriptor holder(NewSocket(address.family()));
    if (holder.get() < 0) return -errno;
    if (Set(holder.get(), SOL_SOCKET, SO_REUSEPORT, 1) && Set(holder.get(), SOL_SOCKET, SO_REUSEADDR, reuse) &&
        SetFamilyOptions(holder.get(), address) && bind(holder.get(), &bound.at.any, bound.length) == 0) {
      return holder.Release();
    }
    failure = errno;
  }
  return -failure;
}

int StartConnect(const ConnectPlan& plan) {
  if (!plan.unix_path.empty()) return StartUnixConnect(plan.unix_path);
  Descriptor made(NewSocket(plan.remote.family()));
  const int fd = made.get();
  if (fd < 0) return -errno;
  if (!Set(fd, IPPROTO_TCP, TCP_NODELAY, 1)) return -errno;
  if (!plan.device.empty() && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, plan.device.c_str(),
                                         static_cast<socklen_t>(plan.device.size() + 1)) != 0) {
    return -errno;
  }
  if (plan.mark >= 0) {
    const auto mark = static_cast<uint32_t>(plan.mark);
    if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0) return -errno;
  }
  if (plan.user_timeout_ms > 0 && !Set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, plan.user_timeout_ms)) return -errno;
  if (plan.local.family() != AF_UNSPEC && !BindSource(fd, plan)) return -errno;
  if (connect(fd, &plan.remote.at.any, plan.remote.length) != 0 && errno != EINPROGRESS) return -errno;
  return made.Release();
}

namespace {

/** reserve(host, port): descriptor or -errno. */
napi_value Reserve(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Address address;
  if (!ParseAddress(arguments.Text(0), arguments.Int(1), &address)) return Integer(env, -EINVAL);
  const int fd = ReservePort(address);
  if (fd >= 0) arguments.state()->held.insert(fd);
  return Integer(env, fd);
}

/** tryBind(host): 0 or -errno. */
napi_value TryBindCall(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  Address address;
  return Integer(env, ParseAddress(arguments.Text(0), 0, &address) ? -TryBind(address) : -EINVAL);
}

/** boundPort(fd): the port of a reservation. */
napi_value BoundPort(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  return Integer(env, LocalAddress(arguments.Int(0)).port());
}

/** releaseHeld(fd): closes a reservation or a lock; anything else is left alone. */
napi_value ReleaseHeld(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  if (arguments.state()->held.erase(arguments.Int(0)) > 0) close(arguments.Int(0));
  return nullptr;
}

}  // namespace

void DefineSocketCalls(ThreadState* state, napi_value exports) {
  Define(state, exports, "reserve", &Reserve);
  Define(state, exports, "tryBind", &TryBindCall);
  Define(state, exports, "boundPort", &BoundPort);
  Define(state, exports, "releaseHeld", &ReleaseHeld);
}

}  // namespace hikyaku
