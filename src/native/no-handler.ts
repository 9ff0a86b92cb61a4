import type { ConnectionHandler } from "./binding.js";

/** The handler of an accepted connection whose owner has not set one yet; nothing is ever told to it. */
export const noHandler: ConnectionHandler = {
  onConnect() {},
  onData() {},
  onEnd() {},
  onDrain() {},
  onClose() {},
};
