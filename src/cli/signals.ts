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
