/** Facts about a message that are kept as bits: of its content as it was received, and of how it is stored. */
export enum MessageFlag {
  /** The content has bytes above 127 (RFC 6152). */
  has8bit = 1,
  /** At least one line of the content begins with a dot and needs stuffing (RFC 5321 §4.5.2). */
  hasDotLines = 2,
  /** An address or a header needs SMTPUTF8 (RFC 6531). */
  needsUtf8 = 4,
  /** The client declared BODY=8BITMIME (RFC 6152). */
  declared8bit = 8,
  /** Several rows share the body; set by the shard, never by its callers. */
  sharedBody = 0x100,
}
