// The sockets of one thread, see reactor.h.
//
//   libuv ──▶ OnReadable ──▶ epoll_wait ──▶ Handle each event ──▶ rows, arena ──▶ Deliver ──▶ script (one call)
//
// Runs on, Owns, When full, On failure: reactor.h. Interest is changed lazily: pausing, the end of the peer's bytes and
// the end of our own backlog cost no epoll_ctl until an unwanted event has really come.
#include "reactor.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace hikyaku {

Reactor::Reactor(ThreadState* state, size_t number, const Buffers& buffers)
    : state_(state), number_(number), buffers_(buffers), text_scratch_(kTextBytes + 1) {}

Reactor* Reactor::Open(ThreadState* state, size_t number, const Buffers& buffers, int* failure) {
  auto* reactor = new Reactor(state, number, buffers);
  reactor->epoll_ = epoll_create1(EPOLL_CLOEXEC);
  *failure = reactor->epoll_ < 0 ? errno : -uv_poll_init(state->loop, &reactor->poll_, reactor->epoll_);
  if (*failure != 0) {
    if (reactor->epoll_ >= 0) close(reactor->epoll_);
    for (const napi_ref ref : {buffers.arena_ref, buffers.rows_ref, buffers.callback_ref}) {
      napi_delete_reference(state->env, ref);
    }
    delete reactor;
    return nullptr;
  }
  state->HandleOpened();
  reactor->poll_.data = reactor;
  uv_poll_start(&reactor->poll_, UV_READABLE,
                [](uv_poll_t* poll, int, int) { static_cast<Reactor*>(poll->data)->OnReadable(); });
  return reactor;
}

void Reactor::Shut() {
  if (shut_) return;
  shut_ = true;
  state_->reactors[number_] = nullptr;
  for (Socket& socket : sockets_) {
    if (socket.fd >= 0) close(socket.fd);
    socket.fd = -1;
  }
  for (auto& [slot, relay] : relays_) {
    for (Relay::Way& way : relay->ways) Pipes::Drop(&way.pipe);
  }
  relays_.clear();
  uv_poll_stop(&poll_);
  close(epoll_);
  for (const napi_ref ref : {buffers_.arena_ref, buffers_.rows_ref, buffers_.callback_ref}) {
    napi_delete_reference(state_->env, ref);
  }
  uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) {
    auto* reactor = static_cast<Reactor*>(handle->data);
    ThreadState* state = reactor->state_;
    delete reactor;
    state->HandleClosed();
  });
}

// ── slots ────────────────────────────────────────────────────────────────────────────────────────────────────────────

Reactor::Socket* Reactor::Find(uint32_t slot) {
  return slot < sockets_.size() && sockets_[slot].fd >= 0 ? &sockets_[slot] : nullptr;
}

const Reactor::Socket* Reactor::Find(uint32_t slot) const {
  return slot < sockets_.size() && sockets_[slot].fd >= 0 ? &sockets_[slot] : nullptr;
}

int32_t Reactor::Add(int fd, Role role, uint32_t interest, const Address& remote) {
  uint32_t slot = 0;
  if (free_slots_.empty()) {
    slot = static_cast<uint32_t>(sockets_.size());
    sockets_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  Socket& socket = sockets_[slot];
  const uint32_t generation = socket.generation;
  socket = Socket{};
  socket.fd = fd;
  socket.generation = generation;
  socket.role = role;
  socket.remote = remote;
  if (Watch(slot, interest)) return static_cast<int32_t>(slot);
  const int failure = errno;
  close(fd);
  FreeSlot(slot);
  return -failure;
}

int32_t Reactor::AddListener(int fd) { return Add(fd, Role::kListener, EPOLLIN, Address{}); }

int32_t Reactor::AddConnecting(int fd, const Address& remote) { return Add(fd, Role::kConnecting, EPOLLOUT, remote); }

bool Reactor::Watch(uint32_t slot, uint32_t interest) {
  Socket& socket = sockets_[slot];
  if (socket.watched && socket.interest == interest) return true;
  epoll_event event{};
  event.events = interest;
  event.data.u64 = static_cast<uint64_t>(socket.generation) << 32 | slot;
  if (epoll_ctl(epoll_, socket.watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, socket.fd, &event) != 0) return false;
  socket.watched = true;
  socket.interest = interest;
  return true;
}

void Reactor::Unwatch(uint32_t slot) {
  Socket& socket = sockets_[slot];
  if (socket.watched) epoll_ctl(epoll_, EPOLL_CTL_DEL, socket.fd, nullptr);
  socket.watched = false;
  socket.interest = 0;
}

void Reactor::FreeSlot(uint32_t slot) {
  Socket& socket = sockets_[slot];
  socket.fd = -1;
  socket.role = Role::kFree;
  ++socket.generation;
  (in_batch_ ? freed_in_batch_ : free_slots_).push_back(slot);
}

// ── what the script asks for ─────────────────────────────────────────────────────────────────────────────────────────

void Reactor::Pause(uint32_t slot) {
  Socket* socket = Find(slot);
  if (socket == nullptr) return;
  socket->paused = true;
  // A listener is stopped at once: what it has accepted could not be given back.
  if (socket->role == Role::kListener) Watch(slot, 0);
}

void Reactor::Resume(uint32_t slot) {
  Socket* socket = Find(slot);
  if (socket == nullptr) return;
  socket->paused = false;
  if (socket->role == Role::kConnecting || socket->peer_ended) return;
  Watch(slot, socket->interest | EPOLLIN);
}

void Reactor::AwaitWritable(uint32_t slot) {
  Socket* socket = Find(slot);
  if (socket == nullptr) return;
  socket->wants_write = true;
  if (socket->role == Role::kOpen) Watch(slot, socket->interest | EPOLLOUT);
}

bool Reactor::Finish(uint32_t slot) {
  Socket* socket = Find(slot);
  if (socket == nullptr || socket->peer_ended || shutdown(socket->fd, SHUT_WR) != 0) return true;
  socket->finishing = true;
  Watch(slot, EPOLLIN);
  return false;
}

void Reactor::Close(uint32_t slot) {
  Socket* socket = Find(slot);
  if (socket == nullptr) return;
  close(socket->fd);
  FreeSlot(slot);
}

int Reactor::Detach(uint32_t slot) {
  Socket* socket = Find(slot);
  if (socket == nullptr) return -EBADF;
  const int fd = socket->fd;
  Unwatch(slot);
  FreeSlot(slot);
  return fd;
}

int64_t Reactor::Send(uint32_t slot, const iovec* parts, size_t count) {
  const Socket* socket = Find(slot);
  if (socket == nullptr) return -EBADF;
  ssize_t sent = 0;
  do {
    if (count == 1) {
      sent = send(socket->fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL);
    } else {
      msghdr message{};
      message.msg_iov = const_cast<iovec*>(parts);
      message.msg_iovlen = count;
      sent = sendmsg(socket->fd, &message, MSG_NOSIGNAL);
    }
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return sent;
  return errno == EAGAIN ? 0 : -errno;
}

Address Reactor::RemoteAddress(uint32_t slot) const {
  const Socket* socket = Find(slot);
  return socket == nullptr ? Address{} : socket->remote;
}

Address Reactor::LocalAddressOf(uint32_t slot) {
  Socket* socket = Find(slot);
  if (socket == nullptr) return Address{};
  if (socket->local.family() == AF_UNSPEC) socket->local = LocalAddress(socket->fd);
  return socket->local;
}

// ── what the kernel reports ──────────────────────────────────────────────────────────────────────────────────────────

void Reactor::OnReadable() {
  epoll_event events[kEvents];
  in_batch_ = true;
  for (int round = 0; round < kRounds; ++round) {
    const int count = epoll_wait(epoll_, events, kEvents, 0);
    if (count <= 0) break;
    bool going_on = true;
    for (int i = 0; i < count && going_on; ++i) {
      if (!HasRoom()) going_on = Deliver();
      if (going_on) Handle(events[i]);
    }
    // What is not done now is reported again: the set is level-triggered.
    if (!going_on || !Deliver() || count < kEvents) break;
  }
  in_batch_ = false;
  free_slots_.insert(free_slots_.end(), freed_in_batch_.begin(), freed_in_batch_.end());
  freed_in_batch_.clear();
}

bool Reactor::HasRoom() const {
  return buffers_.row_count - rows_used_ > kAcceptsPerEvent + 2 &&
         buffers_.arena_bytes - arena_used_ >= kLeastReadBytes;
}

void Reactor::Push(uint32_t slot, Kind kind, int64_t a, int64_t b) {
  int32_t* row = buffers_.rows + rows_used_++ * kRowCells;
  row[0] = static_cast<int32_t>(slot);
  row[1] = static_cast<int32_t>(kind);
  row[2] = static_cast<int32_t>(a);
  row[3] = static_cast<int32_t>(b);
}

bool Reactor::Deliver() {
  const size_t rows = rows_used_;
  rows_used_ = 0;
  arena_used_ = 0;
  if (rows == 0) return true;
  napi_handle_scope scope = nullptr;
  if (napi_open_handle_scope(state_->env, &scope) != napi_ok) return false;
  napi_value count = nullptr;
  napi_create_int32(state_->env, static_cast<int32_t>(rows), &count);
  const napi_status status = CallIntoScript(state_->env, buffers_.callback_ref, 1, &count);
  napi_close_handle_scope(state_->env, scope);
  return status == napi_ok && !shut_;
}

void Reactor::Handle(const epoll_event& event) {
  const auto slot = static_cast<uint32_t>(event.data.u64);
  const auto generation = static_cast<uint32_t>(event.data.u64 >> 32);
  Socket* socket = Find(slot);
  if (socket == nullptr || socket->generation != generation) return;
  switch (socket->role) {
    case Role::kFree:
      return;
    case Role::kListener:
      if (!socket->paused) Accept(slot);
      return;
    case Role::kConnecting:
      HandleConnecting(slot);
      return;
    case Role::kRelay:
      HandleRelay(slot, event.events);
      return;
    case Role::kOpen:
      break;
  }
  if ((event.events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) {
    const bool readable = !socket->peer_ended && (!socket->paused || socket->finishing);
    if (readable) {
      Read(slot);
    } else {
      HandleUnreadable(slot, event.events);
    }
  }
  if ((event.events & EPOLLOUT) == 0) return;
  if (socket->wants_write) {
    socket->wants_write = false;
    Push(slot, Kind::kWritable);
  } else {
    Watch(slot, socket->interest & ~static_cast<uint32_t>(EPOLLOUT));
  }
}

void Reactor::Accept(uint32_t slot) {
  const int listener = sockets_[slot].fd;
  for (int i = 0; i < kAcceptsPerEvent; ++i) {
    Address remote;
    remote.length = sizeof remote.at;
    const int fd = accept4(listener, &remote.at.any, &remote.length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      const int32_t added = Add(fd, Role::kOpen, EPOLLIN, remote);
      if (added >= 0) Push(slot, Kind::kAccepted, added, remote.port());
      continue;
    }
    if (errno == EAGAIN) return;
    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) continue;  // that client's trouble
    // Clients wait in the kernel's queue until the script resumes: nobody is turned away, and nothing spins.
    const int failure = errno;
    Pause(slot);
    Push(slot, Kind::kStalled, failure);
    return;
  }
}

void Reactor::HandleConnecting(uint32_t slot) {
  Socket& socket = sockets_[slot];
  const int failure = SocketError(socket.fd);
  // A reset is of a connection that was up (a refusal has other names), and its last words may wait to be read.
  if (failure == ECONNRESET || failure == EPIPE) {
    socket.early_failure = failure;
  } else if (failure != 0) {
    Push(slot, Kind::kClosed, failure);
    return;
  }
  socket.role = Role::kOpen;
  Watch(slot, socket.paused ? 0U : static_cast<uint32_t>(EPOLLIN));
  Push(slot, Kind::kConnected);
}

/** Something came that is not wanted now: the socket is paused, or its peer had ended already. */
void Reactor::HandleUnreadable(uint32_t slot, uint32_t events) {
  Socket& socket = sockets_[slot];
  if ((events & EPOLLERR) != 0) {
    const int failure = SocketError(socket.fd);
    Push(slot, Kind::kClosed, failure == 0 ? ECONNRESET : failure);
  } else if ((events & EPOLLHUP) == 0) {
    Watch(slot, socket.interest & ~static_cast<uint32_t>(EPOLLIN));
  } else if (socket.peer_ended) {
    Push(slot, Kind::kClosed);
  } else {
    // A hang-up cannot be masked; its last bytes wait in the kernel until Resume watches the socket again.
    Unwatch(slot);
  }
}

void Reactor::Read(uint32_t slot) {
  Socket& socket = sockets_[slot];
  const size_t room = std::min(kReadBytes, buffers_.arena_bytes - arena_used_);
  const ssize_t got = recv(socket.fd, buffers_.arena + arena_used_, room, 0);
  if (got > 0 && socket.finishing) {
    socket.discarded += static_cast<size_t>(got);
    if (socket.discarded > kDiscardBytes) Push(slot, Kind::kClosed);
  } else if (got > 0) {
    const size_t start = arena_used_;
    arena_used_ += static_cast<size_t>(got);
    Push(slot, Kind::kData, static_cast<int64_t>(start), static_cast<int64_t>(arena_used_));
  } else if (got == 0 && socket.early_failure != 0) {
    Push(slot, Kind::kClosed, socket.early_failure);
  } else if (got == 0) {
    socket.peer_ended = true;
    Push(slot, socket.finishing ? Kind::kClosed : Kind::kEnd);
  } else if (errno != EAGAIN && errno != EINTR) {
    Push(slot, Kind::kClosed, socket.finishing ? 0 : errno);
  }
}

}  // namespace hikyaku
