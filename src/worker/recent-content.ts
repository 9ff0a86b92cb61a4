/** Contents up to this size are copied when they are to be remembered: larger ones stay where they were received. */
export const COPIED_CONTENT_BYTES = 4 * 1024;

/** Largest content, in bytes, that is remembered after it was stored; larger ones are read from the spool again. */
export const RECENT_CONTENT_BYTES = 1024 * 1024;
