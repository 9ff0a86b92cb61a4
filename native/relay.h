// Two connections whose bytes go from one to the other inside the kernel, through pipes.
//
//     slot 0 ──splice──▶ pipe ──splice──▶ slot 1        slot 1 ──splice──▶ pipe ──splice──▶ slot 0
//
// Runs on: the reactor's thread. Owns: a pipe for each way that holds bytes; an idle relay has none.
// When full: a way whose pipe holds bytes is not read from until they have left: the slower side sets the pace.
// On failure: one row (`Relayed`, errno) and nothing after it; the script ends the relay.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace hikyaku {

/** Pipes that are not in use, kept for the next. */
class Pipes {
 public:
  using Pipe = std::array<int, 2>;
  static constexpr Pipe kNone{-1, -1};
  static constexpr size_t kSpare = 64;

  ~Pipes();
  /** Returns 0, or an errno. */
  int Take(Pipe* pipe);
  /** Takes an empty pipe back. */
  void Give(Pipe* pipe);
  /** Closes a pipe that may hold bytes. */
  static void Drop(Pipe* pipe);

 private:
  std::vector<Pipe> spare_;
};

/** See above. `ways[i]` leads from `slots[i]` to the other one. */
struct Relay {
  struct Way {
    Pipes::Pipe pipe = Pipes::kNone;
    size_t held = 0;
    /** The source will send no more. */
    bool ended = false;
    /** ... and the other side was told. */
    bool closed = false;
    uint64_t bytes = 0;
  };
  uint32_t slots[2] = {0, 0};
  Way ways[2];
  /** Its row is on the way. */
  bool told = false;
};

/** Moves what can be moved now. Returns 0, or the errno of a failure. */
int PumpRelay(Relay::Way* way, int source, int sink, Pipes* pipes);

/** Has the kernel find out about peers that have vanished: after 5 minutes of silence, 3 questions 30 s apart. */
void KeepAlive(int fd);

}  // namespace hikyaku
