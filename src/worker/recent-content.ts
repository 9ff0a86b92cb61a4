/**
 * Largest content, in bytes, that is remembered after it was stored. A larger one would keep its receive buffer from
 * being used for the next message, which costs more than reading it again (docs/decisions.md).
 */
export const RECENT_CONTENT_BYTES = 16 * 1024;
