import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from "node:net";

/** A relay of TCP connections that holds everything up, as a long line does: the same time each way, in order. */
export interface Relay {
  readonly port: number;
  /** Connections that were made through it. */
  readonly connections: number;
  stop(): Promise<void>;
}

/** Listens on loopback and passes everything on to `port` there, each way `delayMs` later. */
export async function startRelay(port: number, delayMs: number): Promise<Relay> {
  const open = new Set<Socket>();
  let connections = 0;
  const server: Server = createServer({ allowHalfOpen: true }, (near) => {
    connections++;
    const far = dial({ host: "127.0.0.1", port, allowHalfOpen: true });
    for (const socket of [near, far]) {
      open.add(socket);
      socket.setNoDelay(true);
      socket.on("close", () => open.delete(socket));
      socket.on("error", () => {
        near.destroy();
        far.destroy();
      });
    }
    pass(near, far, delayMs);
    pass(far, near, delayMs);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return connections;
    },
    stop: () =>
      new Promise((stopped) => {
        for (const socket of open) socket.destroy();
        server.close(() => stopped());
      }),
  };
}

function pass(from: Socket, to: Socket, delayMs: number): void {
  from.on("data", (bytes) => setTimeout(() => to.writable && to.write(bytes), delayMs));
  from.on("end", () => setTimeout(() => to.end(), delayMs));
}
