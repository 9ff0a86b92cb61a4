// Relays inside the kernel, see relay.h; and the reactor's part of them.
// Runs on, Owns, When full, On failure: relay.h.
#include "relay.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "reactor.h"

namespace hikyaku {

namespace {

/** What an empty pipe takes (pipe(7)); a smaller one, given to users with many, says EAGAIN earlier. */
constexpr size_t kPipeBytes = 64 * 1024;
/** Per way and event, so that one fast pair does not keep the others waiting. */
constexpr int kPumps = 8;
constexpr int kIdleSeconds = 300;
constexpr int kQuestionSeconds = 30;
constexpr int kQuestions = 3;

bool CanWait(int failure) { return failure == EAGAIN || failure == EINTR; }

}  // namespace

Pipes::~Pipes() {
  for (Pipe& pipe : spare_) Drop(&pipe);
}

int Pipes::Take(Pipe* pipe) {
  if (spare_.empty()) return pipe2(pipe->data(), O_NONBLOCK | O_CLOEXEC) == 0 ? 0 : errno;
  *pipe = spare_.back();
  spare_.pop_back();
  return 0;
}

void Pipes::Give(Pipe* pipe) {
  if ((*pipe)[0] < 0) return;
  if (spare_.size() >= kSpare) {
    Drop(pipe);
    return;
  }
  spare_.push_back(*pipe);
  *pipe = kNone;
}

void Pipes::Drop(Pipe* pipe) {
  if ((*pipe)[0] >= 0) {
    close((*pipe)[0]);
    close((*pipe)[1]);
  }
  *pipe = kNone;
}

void KeepAlive(int fd) {
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kIdleSeconds, sizeof kIdleSeconds);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &kQuestionSeconds, sizeof kQuestionSeconds);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &kQuestions, sizeof kQuestions);
}

int PumpRelay(Relay::Way* way, int source, int sink, Pipes* pipes) {
  if (way->closed) return 0;
  for (int i = 0; i < kPumps; ++i) {
    if (!way->ended && way->held == 0) {
      if (way->pipe[0] < 0) {
        const int failure = pipes->Take(&way->pipe);
        if (failure != 0) return failure;
      }
      const ssize_t got =
          splice(source, nullptr, way->pipe[1], nullptr, kPipeBytes, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
      if (got < 0 && !CanWait(errno)) return errno;
      if (got == 0) way->ended = true;
      if (got > 0) way->held = static_cast<size_t>(got);
    }
    if (way->held == 0) break;
    const ssize_t sent =
        splice(way->pipe[0], nullptr, sink, nullptr, way->held, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (sent < 0 && !CanWait(errno)) return errno;
    if (sent <= 0) break;
    way->held -= static_cast<size_t>(sent);
    way->bytes += static_cast<uint64_t>(sent);
  }
  if (way->held > 0) return 0;
  pipes->Give(&way->pipe);
  if (!way->ended) return 0;
  way->closed = true;
  return shutdown(sink, SHUT_WR) == 0 ? 0 : errno;
}

// ── the reactor's part ───────────────────────────────────────────────────────────────────────────────────────────────

int Reactor::StartRelay(uint32_t first, uint32_t second, const RelayStart& start) {
  Socket* ends[2] = {Find(first), Find(second)};
  for (const Socket* end : ends) {
    if (end == nullptr || end->role != Role::kOpen || end->finishing || ends[0] == ends[1]) return -EBADF;
  }
  auto relay = std::make_unique<Relay>();
  relay->slots[0] = first;
  relay->slots[1] = second;
  for (int i = 0; i < 2; ++i) {
    Relay::Way& way = relay->ways[i];
    way.ended = ends[i]->peer_ended;
    const size_t length = start.length[1 - i];
    if (length == 0) continue;
    int failure = pipes_.Take(&way.pipe);
    if (failure == 0) {
      const ssize_t written = write(way.pipe[1], start.bytes[1 - i], length);
      failure = written == static_cast<ssize_t>(length) ? 0 : ENOBUFS;
    }
    if (failure != 0) {
      for (Relay::Way& taken : relay->ways) Pipes::Drop(&taken.pipe);
      return -failure;
    }
    way.held = length;
  }
  for (int i = 0; i < 2; ++i) {
    ends[i]->role = Role::kRelay;
    ends[i]->relay = relay.get();
    KeepAlive(ends[i]->fd);
  }
  // Nothing is moved now: rows must not be pushed while the script reads the last ones. Both can be written to, so
  // an event comes at once.
  for (const uint32_t slot : relay->slots) Watch(slot, EPOLLIN | EPOLLOUT);
  relays_.emplace(first, std::move(relay));
  return 0;
}

void Reactor::HandleRelay(uint32_t slot, uint32_t events) {
  Relay& relay = *sockets_[slot].relay;
  if (relay.told) return;
  const int side = relay.slots[0] == slot ? 0 : 1;
  int failure = (events & EPOLLERR) == 0 ? 0 : SocketError(sockets_[slot].fd);
  for (int i = 0; i < 2 && failure == 0; ++i) {
    failure = PumpRelay(&relay.ways[i], sockets_[relay.slots[i]].fd, sockets_[relay.slots[1 - i]].fd, &pipes_);
  }
  if (failure != 0 || (relay.ways[0].closed && relay.ways[1].closed)) {
    relay.told = true;
    for (const uint32_t one : relay.slots) Unwatch(one);
    Push(relay.slots[0], Kind::kRelayed, failure);
    return;
  }
  for (int i = 0; i < 2; ++i) {
    const Relay::Way& out = relay.ways[i];
    const bool reads = !out.ended && out.held == 0;
    const bool writes = relay.ways[1 - i].held > 0;
    const uint32_t interest = (reads ? static_cast<uint32_t>(EPOLLIN) : 0U) | (writes ? static_cast<uint32_t>(EPOLLOUT) : 0U);
    // A hang-up cannot be masked: who has said it and is waited for by nobody is not watched until he is.
    if (interest == 0 && ((i == side && (events & EPOLLHUP) != 0) || !sockets_[relay.slots[i]].watched)) {
      Unwatch(relay.slots[i]);
    } else {
      Watch(relay.slots[i], interest);
    }
  }
}

uint64_t Reactor::RelayBytes(uint32_t first, int way) const {
  const auto found = relays_.find(first);
  return found == relays_.end() ? 0 : found->second->ways[way].bytes;
}

void Reactor::EndRelay(uint32_t first) {
  const auto found = relays_.find(first);
  if (found == relays_.end()) return;
  for (Relay::Way& way : found->second->ways) Pipes::Drop(&way.pipe);
  for (const uint32_t slot : found->second->slots) Close(slot);
  relays_.erase(found);
}

}  // namespace hikyaku
