/** More waiting bytes than this make `writeText` and `writeBytes` return false. */
export const HIGH_WATER_BYTES = 64 * 1024;

/** Byte arrays up to this size are copied when written, so that a caller may use a buffer of its own again at once. */
export const COPY_BYTES = 16 * 1024;

/** What one turn's copied byte arrays share; beyond it each gets memory of its own. */
export const TURN_BUFFER_BYTES = 256 * 1024;

/** The smallest receive arena. */
export const LEAST_ARENA_BYTES = 64 * 1024;

/**
 * After `end` the peer has between one and two of these to end its direction, and may send {@link LINGER_BYTES} more,
 * which are thrown away; then the socket is closed anyway.
 */
export const LINGER_SWEEP_MS = 1000;

/** See {@link LINGER_SWEEP_MS}; the addon has the same number (`kDiscardBytes`). */
export const LINGER_BYTES = 1024 * 1024;

/** How long a listener that found no descriptor or memory left stops accepting. */
export const STALL_MS = 100;
