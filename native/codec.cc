// See codec.h. The states are those of ContentState in src/native/content-scan.ts.
#include "codec.h"

#include "values.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace hikyaku {

namespace {

constexpr int32_t kLineStart = 0;
constexpr int32_t kText = 1;
constexpr int32_t kCr = 2;
constexpr int32_t kBareLf = 3;

constexpr uint8_t kNul = 0x00;
constexpr uint8_t kLf = 0x0a;
constexpr uint8_t kCarriageReturn = 0x0d;
constexpr uint8_t kDot = 0x2e;
/** Above every octet that matters. */
constexpr uint8_t kFloor = 0x0e;

/** Index of the first octet below kFloor in `source[at, end)`, or `end`; notes octets above 127 before it. */
size_t SkipText(const uint8_t* source, size_t at, size_t end, int32_t* bits) {
#if defined(__SSE2__)
  const __m128i highest_low = _mm_set1_epi8(kFloor - 1);
  while (end - at >= 16) {
    const __m128i octets = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + at));
    const auto low = static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(octets, highest_low), octets)));
    const auto high = static_cast<uint32_t>(_mm_movemask_epi8(octets));
    if (low != 0) {
      const auto before = static_cast<uint32_t>(__builtin_ctz(low));
      if ((high & ((1U << before) - 1)) != 0) *bits |= 0x80;
      return at + before;
    }
    if (high != 0) *bits |= 0x80;
    at += 16;
  }
#endif
  while (at < end && source[at] >= kFloor) *bits |= source[at++];
  return at;
}

}  // namespace

size_t ScanContent(const uint8_t* source, size_t start, size_t end, ScanCells* cells) {
  auto line_start = static_cast<int64_t>(start) - cells->line_length;
  int32_t state = kText;
  size_t at = start;
  while (at < end) {
    at = SkipText(source, at, end, &cells->bits);
    if (at == end) break;
    const uint8_t octet = source[at];
    if (octet == kCarriageReturn) {
      if (at + 1 >= end || source[at + 1] != kLf) {
        ++line_start;
        ++at;
        state = kCr;
        break;
      }
      const auto length = static_cast<int32_t>(static_cast<int64_t>(at) - line_start);
      if (length > cells->longest_line) cells->longest_line = length;
      at += 2;
      line_start = static_cast<int64_t>(at);
      if (at == end || source[at] == kDot) {
        state = kLineStart;
        break;
      }
    } else if (octet == kLf) {
      state = kBareLf;
      break;
    } else {
      if (octet == kNul) cells->nul = 1;
      ++at;
    }
  }
  cells->line_length = static_cast<int32_t>(static_cast<int64_t>(at) - line_start);
  cells->state = state;
  return at;
}

namespace {

/** scanContent(source, start, end, cells): index where it stopped; -1 for arguments that are no scan. */
napi_value ScanContentCall(napi_env env, napi_callback_info info) {
  const Arguments arguments(env, info);
  napi_typedarray_type type = napi_int8_array;
  size_t octets = 0;
  size_t count = 0;
  void* source = nullptr;
  void* cells = nullptr;
  napi_get_typedarray_info(env, arguments.at(0), &type, &octets, &source, nullptr, nullptr);
  const bool is_bytes = type == napi_uint8_array;
  napi_get_typedarray_info(env, arguments.at(3), &type, &count, &cells, nullptr, nullptr);
  const auto start = static_cast<size_t>(arguments.Int(1));
  const auto end = static_cast<size_t>(arguments.Int(2));
  if (!is_bytes || type != napi_int32_array || count * sizeof(int32_t) < sizeof(ScanCells)) return Integer(env, -1);
  if (start > end || end > octets) return Integer(env, -1);
  const size_t at = ScanContent(static_cast<uint8_t*>(source), start, end, static_cast<ScanCells*>(cells));
  return Integer(env, static_cast<int64_t>(at));
}

}  // namespace

void DefineCodecCalls(ThreadState* state, napi_value exports) {
  Define(state, exports, "scanContent", &ScanContentCall);
}

}  // namespace hikyaku
