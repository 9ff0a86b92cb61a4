/** What the scheduler has done since the start; plain counts that metrics and the simulation read. */
export class Counters {
  /** Messages that the table had no row for. They stay in the spool until the next start finds them: keep this at 0. */
  unlisted = 0;
  delivered = 0;
  bounced = 0;
  transient = 0;
  returned = 0;
  quarantined = 0;
  /** Not found by a session of another worker than their owner, who was then asked. */
  absent = 0;
  /** Decided here, without a session. */
  expired = 0;
  discarded = 0;
  bouncedHere = 0;
  transientHere = 0;
  /** Frames about a message or a session that is over: they crossed with its end. */
  stray = 0;
  /** Messages put back because the worker that had them in hand died. */
  dropped = 0;
  /** Messages whose end a dead worker had written in the log and not reported: not delivered or decided a second time. */
  foundSettled = 0;
  /** Messages put off for up to a minute because the worker that would write their record is down. */
  putOff = 0;
  parked = 0;
  woken = 0;
  /** Times that a queue had to wait because no source of its pool might be chosen. */
  throttled = 0;
  /** Times that a path could open no session because of `max_connection_rate`. */
  connectionsThrottled = 0;
  /** Times that a path could open no session because a shared limit had no lease left. */
  connectionsLimited = 0;
  sessionsOpened = 0;
  /** Times that a path could open no session because of the limit of open files (`FileLimitReached`). */
  heldBack = 0;
  /** Times that a path's whole ready queue was failed. */
  pathsFailed = 0;
  /** Steps of a turn that stopped because a worker's ring was full. */
  blocked = 0;
}
