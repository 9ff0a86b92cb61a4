// The scan of message content: the same answers as src/native/content-scan.ts, sixteen octets at a time.
// Runs on: the calling thread. Owns: nothing. When full: reads what it is given. On failure: cannot fail.
#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>

#include "state.h"

namespace hikyaku {

/** What a scan knows between two calls; the same order as `CELLS` in src/native/content-scan.ts. */
struct ScanCells {
  int32_t state;
  int32_t line_length;
  int32_t longest_line;
  int32_t bits;
  int32_t nul;
};

/** Scans `source[start, end)`; returns the index of the first octet that must not be taken as it is. */
size_t ScanContent(const uint8_t* source, size_t start, size_t end, ScanCells* cells);

void DefineCodecCalls(ThreadState* state, napi_value exports);

}  // namespace hikyaku
