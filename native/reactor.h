// The sockets of one thread: one epoll set, watched as a single descriptor by the thread's own libuv loop.
// Runs on: the thread that opened it. Owns: its epoll set, its sockets (slots), a share of two buffers of JavaScript's:
//   arena   received bytes, one after the other, valid until the script's callback returns
//   rows    what happened, four numbers each: slot, kind, a, b
// When full: a full arena or rows buffer is delivered and begun anew; no descriptors left stops accepting, not clients.
// On failure: a socket's failure is a row (`Closed`, errno); the epoll set's own failures are returned by Open.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "relay.h"
#include "sockets.h"
#include "state.h"

namespace hikyaku {

/** The kinds of rows; src/native/addon.ts has the same list. */
enum class Kind : int32_t {
  kAccepted = 1,   // slot of the listener, a: new slot, b: the peer's port
  kConnected = 2,  // an outbound connection is up
  kData = 3,       // a: start, b: end in the arena
  kEnd = 4,        // the peer will send no more
  kWritable = 5,   // the kernel takes bytes again
  kClosed = 6,     // a: errno or 0; the script has to close the slot
  kStalled = 7,    // slot of the listener, which stops until resumed, a: errno (out of descriptors or memory)
  kRelayed = 8,    // slot of a relay's first end: the relay is over, a: errno or 0; the script has to end it
};

class Reactor {
 public:
  /** The largest number of bytes that one event may bring, so that one fast peer does not keep the others waiting. */
  static constexpr size_t kReadBytes = 64 * 1024;
  /** With less room than this the arena is delivered first. */
  static constexpr size_t kLeastReadBytes = 16 * 1024;
  static constexpr int kEvents = 256;
  static constexpr int kRounds = 4;
  /** Few, so that the script can stop accepting before a flood has taken the descriptors that files need. */
  static constexpr int kAcceptsPerEvent = 16;
  /** What is thrown away of a peer that goes on sending after we have finished. */
  static constexpr size_t kDiscardBytes = 1024 * 1024;
  static constexpr size_t kRowCells = 4;
  /** Parts of one writev. */
  static constexpr size_t kParts = 64;
  static constexpr size_t kTextBytes = 64 * 1024;

  struct Buffers {
    uint8_t* arena;
    size_t arena_bytes;
    int32_t* rows;
    size_t row_count;
    /** Keep the two buffers and the callback alive. */
    napi_ref arena_ref;
    napi_ref rows_ref;
    napi_ref callback_ref;
  };

  /** Takes over the references of `buffers`, also when it fails. Sets `*failure` to an errno when it returns null. */
  static Reactor* Open(ThreadState* state, size_t number, const Buffers& buffers, int* failure);

  /** Each returns a slot or -errno; the descriptor is the reactor's from then on, also on failure. */
  int32_t AddListener(int fd);
  int32_t AddConnecting(int fd, const Address& remote);

  // All of the following take a slot that is in use; calls for others are harmless.
  void Pause(uint32_t slot);
  void Resume(uint32_t slot);
  /** Asks for a `kWritable` row. */
  void AwaitWritable(uint32_t slot);
  /** Ends our direction. True when the peer's has ended too, so that the slot can be closed now; otherwise what still
   *  comes is thrown away and `kClosed` follows, see kDiscardBytes. Closing with unread bytes would send a reset, and a
   *  reset can destroy our last reply before the peer has read it. */
  bool Finish(uint32_t slot);
  void Close(uint32_t slot);
  /** Frees the slot and gives its descriptor away; -EBADF when there is none. */
  int Detach(uint32_t slot);
  /** Sends scattered bytes; returns how many the kernel took (0 when none) or -errno. */
  int64_t Send(uint32_t slot, const struct iovec* parts, size_t count);
  Address RemoteAddress(uint32_t slot) const;
  Address LocalAddressOf(uint32_t slot);
  /** Where a call puts text together before it sends it; kTextBytes + 1 long. */
  char* text_scratch() { return text_scratch_.data(); }

  // Relays, see relay.h (in relay.cc).

  /** The first bytes of a relay, before whatever comes from the other end: for the first and for the second end. */
  struct RelayStart {
    const uint8_t* bytes[2];
    size_t length[2];
  };
  /** Joins two open sockets; returns 0 or -errno, and then both are as they were. */
  int StartRelay(uint32_t first, uint32_t second, const RelayStart& start);
  /** Bytes that have arrived: way 0 leads from the first end to the second. */
  uint64_t RelayBytes(uint32_t first, int way) const;
  /** Closes both ends. */
  void EndRelay(uint32_t first);

  /** Closes every descriptor now, and deletes the reactor when libuv has let go of it. */
  void Shut();

 private:
  enum class Role : uint8_t { kFree, kListener, kConnecting, kOpen, kRelay };

  struct Socket {
    int fd = -1;
    /** Counts the slot's uses, so that an event for an earlier socket of the slot is known. */
    uint32_t generation = 0;
    uint32_t interest = 0;
    Role role = Role::kFree;
    bool watched = false;
    bool paused = false;
    /** The peer has ended its direction. */
    bool peer_ended = false;
    /** Finish was called: whatever comes is thrown away. */
    bool finishing = false;
    bool wants_write = false;
    /** The reset that came before we had seen the connection up; told after the bytes that came before it. */
    int early_failure = 0;
    size_t discarded = 0;
    /** Of a `kRelay`: whose end it is. */
    Relay* relay = nullptr;
    Address remote;
    /** Read from the kernel when first asked for. */
    Address local;
  };

  Reactor(ThreadState* state, size_t number, const Buffers& buffers);
  ~Reactor() = default;

  Socket* Find(uint32_t slot);
  const Socket* Find(uint32_t slot) const;
  int32_t Add(int fd, Role role, uint32_t interest, const Address& remote);
  bool Watch(uint32_t slot, uint32_t interest);
  void Unwatch(uint32_t slot);
  void FreeSlot(uint32_t slot);

  void OnReadable();
  void Handle(const epoll_event& event);
  void Accept(uint32_t slot);
  void HandleConnecting(uint32_t slot);
  void HandleUnreadable(uint32_t slot, uint32_t events);
  void Read(uint32_t slot);
  void HandleRelay(uint32_t slot, uint32_t events);
  void Push(uint32_t slot, Kind kind, int64_t a = 0, int64_t b = 0);
  bool HasRoom() const;
  bool Deliver();

  ThreadState* state_;
  size_t number_;
  Buffers buffers_;
  uv_poll_t poll_{};
  int epoll_ = -1;
  bool shut_ = false;
  /** While rows are under way, freed slots must not be given out again: a row would meet the wrong connection. */
  bool in_batch_ = false;
  size_t arena_used_ = 0;
  size_t rows_used_ = 0;
  std::vector<Socket> sockets_;
  /** By the slot of their first end. */
  std::unordered_map<uint32_t, std::unique_ptr<Relay>> relays_;
  Pipes pipes_;
  std::vector<uint32_t> free_slots_;
  std::vector<uint32_t> freed_in_batch_;
  std::vector<char> text_scratch_;
};

}  // namespace hikyaku
