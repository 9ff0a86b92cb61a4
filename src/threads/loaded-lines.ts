import type { UpMessage } from "../protocol/messages.js";

/** What an operator is told of a shard that was loaded. `unlisted`: messages so far that found the table full. */
export function loadedLines(message: Extract<UpMessage, { kind: "loaded" }>, unlisted: number): string[] {
  const { shard, rows, quarantined, settled } = message;
  const lines: string[] = [];
  if (unlisted > 0) {
    lines.push(
      `${unlisted} messages are more than spool.max_messages allows: they stay in the spool for a start with a greater limit`,
    );
  }
  if (rows + quarantined + settled === 0) return lines;
  const damaged = quarantined === 0 ? "" : `, ${quarantined} damaged ones set aside`;
  const ended = settled === 0 ? "" : `, ${settled} that the log knows to be settled removed`;
  lines.push(`spool shard ${shard}: ${rows} messages found${damaged}${ended}`);
  return lines;
}
