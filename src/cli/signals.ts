/**
 * Keeps SIGUSR1 from opening Node's debugger, which would let every user of this machine run code in the process. Call it
 * first of all. A listener that Node itself has set (`--heapsnapshot-signal=SIGUSR1`) does its work all the same.
 * @param tell is told of each signal that nothing else listens to.
 */
export function ignoreDebuggerSignal(tell: (line: string) => void): void {
  const isWanted = process.listenerCount("SIGUSR1") > 0;
  process.on("SIGUSR1", () => {
    if (!isWanted) tell("SIGUSR1: ignored, it opens no debugger here; to debug, start Node with --inspect");
  });
}

/** What ends in order when it is told to. */
export interface Stoppable {
  stop(): Promise<void>;
  /** Reads the configuration again. */
  readonly live: { reload(why: string): Promise<unknown> };
}

/**
 * Listens to signals from now on: SIGINT and SIGTERM stop the server in order, more of them change nothing, SIGHUP
 * has the configuration read again. One that comes before there is a server stops it as soon as it has started; another one then does not wait
 * for that and ends the process, which loses nothing either, but tells clients nothing.
 * @param tell is told of each signal.
 * @returns to be called with the server; false when it is stopping already.
 */
export function stopOnSignals(tell: (line: string) => void): (server: Stoppable) => boolean {
  let server: Stoppable | null = null;
  let stopping = false;
  const stop = (): void => {
    if (server !== null) {
      tell(stopping ? "already stopping" : "stopping: finishing what is under way");
      void server.stop();
    } else if (stopping) {
      tell("ended while starting");
      process.exit(1);
    } else tell("stopping: as soon as the start is over; once more ends it now");
    stopping = true;
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, stop);
  process.on("SIGHUP", () => {
    if (server === null) tell("SIGHUP: still starting, the configuration was read a moment ago");
    else void server.live.reload("SIGHUP");
  });
  return (started) => {
    server = started;
    if (stopping) void server.stop();
    return !stopping;
  };
}
