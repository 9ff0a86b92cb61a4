declare const brand: unique symbol;

/** A number that must not be mixed with another kind of number; costs nothing at run time. */
export type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** Index of a message's row in the scheduler's table, from 1; 0 means none. */
export type Row = Branded<number, "Row">;
/** A delivery session, numbered by the scheduler, never reused while the process runs; 0 means none. */
export type SessionId = Branded<number, "SessionId">;
/** An egress path's number, given by the scheduler. */
export type PathId = Branded<number, "PathId">;
/** A worker's number, from 0. */
export type WorkerIndex = Branded<number, "WorkerIndex">;
/** A spool shard's number, from 0; equals the number of its directory. */
export type ShardIndex = Branded<number, "ShardIndex">;
/** A message's key inside its shard: time-ordered safe integer, see `protocol/message-id.ts`. */
export type SpoolKey = Branded<number, "SpoolKey">;
/** A worker's own number for a scheduled queue's name, see `protocol/queue-refs.ts`. */
export type QueueRef = Branded<number, "QueueRef">;
