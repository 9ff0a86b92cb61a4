/**
 * Content as it goes over the wire after DATA (RFC 5321 §4.5.2): a line that begins with a dot gets another one.
 * Content is CRLF-terminated lines; what reception promises about it (`hasDotLines`, `hasBareLineEnds`) is used, so that
 * clean content is neither read nor copied here.
 */

const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;

/** What precedes a dot that must be doubled, with the dot; searched for natively. */
const DOT_LINE = Buffer.from("\r\n.", "latin1");

/**
 * Dot lines nearer together than this are doubled byte by byte into a copy: a slice for each would cost more than the
 * copy, and a message of nothing but dots would stop the thread for seconds (`bench/micro/dot-encoder.ts`).
 */
const DENSE_BYTES = 512;
/** Bytes of content that are copied at a time where dot lines are dense. */
const COPY_BYTES = 16 * 1024;

/** Where encoded bytes go; they are kept by reference and must not change until sent. */
export interface ByteSink {
  writeBytes(bytes: Uint8Array): void;
}

/** The end of data that follows content: with a line end of its own when the content's last line has none. */
export function endOfData(content: Buffer): string {
  return endsLine(content) ? ".\r\n" : "\r\n.\r\n";
}

/** Whether a dot behind this content stands at the beginning of a line. Empty content counts. */
export function endsLine(content: Buffer): boolean {
  const length = content.length;
  return length === 0 || (length > 1 && content[length - 1] === LF && content[length - 2] === CR);
}

/** The size of content as SIZE means it (RFC 1870 §6.1): with all line ends, without doubled dots and the end mark. */
export function wireSize(content: Buffer): number {
  return endsLine(content) ? content.length : content.length + 2;
}

/**
 * Writes content that may have lines beginning with a dot, each such dot doubled. What lies between goes out by reference:
 * a slice ends behind the dot and the next one begins at the same dot, so that no byte is added.
 */
export function writeStuffed(content: Buffer, sink: ByteSink): void {
  const length = content.length;
  let from = 0;
  let dot = length > 0 && content[0] === DOT ? 0 : nextDot(content, 0);
  while (dot >= 0) {
    const next = nextDot(content, dot);
    if (next >= 0 && next - dot < DENSE_BYTES) {
      if (dot > from) sink.writeBytes(content.subarray(from, dot));
      from = copyStuffed(content, dot, sink);
      // The copy may have ended behind CR or CR LF, with the dot to double still ahead.
      dot = nextDot(content, from - 2);
    } else {
      sink.writeBytes(content.subarray(from, dot + 1));
      from = dot;
      dot = next;
    }
  }
  if (from < length) sink.writeBytes(from === 0 ? content : content.subarray(from));
}

/** The first dot that begins a line whose line end before it starts at `from` or later; -1 when there is none. */
function nextDot(content: Buffer, from: number): number {
  const found = content.indexOf(DOT_LINE, Math.max(0, from));
  return found < 0 ? -1 : found + 2;
}

/** Writes a copy of a stretch that begins with a dot to be doubled; returns where the stretch ends. */
function copyStuffed(content: Buffer, start: number, sink: ByteSink): number {
  const end = Math.min(content.length, start + COPY_BYTES);
  // "CR LF dot" grows from three bytes to four; the first dot adds one more.
  const copy = Buffer.allocUnsafeSlow(COPY_BYTES + Math.ceil(COPY_BYTES / 3) + 1);
  let used = 0;
  let before = CR;
  let last = LF;
  for (let at = start; at < end; at++) {
    const byte = content[at];
    if (byte === DOT && last === LF && before === CR) copy[used++] = DOT;
    copy[used++] = byte;
    before = last;
    last = byte;
  }
  sink.writeBytes(copy.subarray(0, used));
  return end;
}

/**
 * Content whose every line end is CRLF: a bare CR or a bare LF becomes one. For messages that a listener took with
 * `invalid_line_endings = "Allow"`: a peer that reads a bare LF as a line end must not find an end of data in the content.
 */
export function withCrlfLineEnds(content: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(content.length * 2);
  let used = 0;
  for (let at = 0; at < content.length; at++) {
    const byte = content[at];
    if (byte === CR) {
      copy[used++] = CR;
      copy[used++] = LF;
      if (content[at + 1] === LF) at++;
    } else if (byte === LF) {
      copy[used++] = CR;
      copy[used++] = LF;
    } else {
      copy[used++] = byte;
    }
  }
  return copy.subarray(0, used);
}
