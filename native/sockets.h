// Sockets as the reactor needs them: numeric addresses, listeners, outbound sockets bound to a source, reserved ports.
// Runs on: the calling thread; no call here blocks. Owns: nothing; a descriptor that is returned belongs to the caller.
// When full: EMFILE or EADDRINUSE of the kernel, returned. On failure: every function returns a negative errno and
// leaves no descriptor behind.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>

namespace hikyaku {

/** A numeric address and port of either family, or nothing (`family() == AF_UNSPEC`, also for unix sockets). */
struct Address {
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  } at{};
  socklen_t length = 0;

  int family() const { return length == 0 ? AF_UNSPEC : at.any.sa_family; }
  uint16_t port() const;
  /** Without port; a v4 address inside v6 (::ffff:…) is written as v4, because policies name it so. */
  std::string text() const;
};

/** Reads a numeric v4 or v6 address; false when it is neither. */
bool ParseAddress(const std::string& host, int port, Address* out);
/** The local address of a socket. */
Address LocalAddress(int fd);

/** The error that is waiting at a socket; 0 for none. */
int SocketError(int fd);

/** Whether a connection could leave from `address`: 0, or the errno that says why not. Takes no port. */
int TryBind(const Address& address);

/** A listening socket with SO_REUSEPORT whose connections come with TCP_NODELAY. Returns its descriptor or -errno. */
int OpenListener(const Address& address, int backlog);

/** A socket that holds `address` for this process without listening, see `Native.reservePort`. Returns it or -errno. */
int ReservePort(const Address& address);

/** Where an outbound connection goes and how it leaves. */
struct ConnectPlan {
  Address remote;
  /** Path of a unix socket; when not empty, nothing else here counts. */
  std::string unix_path;
  Address local;
  bool free_bind = false;
  bool transparent = false;
  std::string device;
  /** SO_MARK; negative for none. */
  int64_t mark = -1;
  int user_timeout_ms = 0;
};

/** Makes a socket and starts its connect; returns it, or -errno when something failed at once. */
int StartConnect(const ConnectPlan& plan);

}  // namespace hikyaku
