import { once } from "node:events";
import { createServer, type Socket } from "node:net";

/** A mail host that says yes to everything up to the content and then reads no more of it, until it is told to. */
export interface StallingHost {
  readonly port: number;
  /** Messages of which it has begun to read the content. */
  readonly begun: number;
  /** Connections that were closed, by whomever, while their message had not ended. */
  readonly broken: number;
  /** Messages that it has taken whole. */
  readonly taken: number;
  /** Reads on from now on. */
  goOn(): void;
  stop(): Promise<void>;
}

/** Starts one. */
export async function startStallingHost(): Promise<StallingHost> {
  const sockets = new Set<Socket>();
  const seen = { begun: 0, broken: 0, taken: 0, stalls: true };
  const server = createServer((socket) => {
    sockets.add(socket);
    let inContent = false;
    let text = "";
    socket.on("error", () => {});
    socket.on("close", () => {
      sockets.delete(socket);
      if (inContent) seen.broken++;
    });
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
      if (inContent) {
        if (!text.endsWith("\r\n.\r\n")) return;
        inContent = false;
        seen.taken++;
        socket.write("250 2.0.0 taken\r\n");
        text = "";
        return;
      }
      for (let end = text.indexOf("\r\n"); end >= 0 && !inContent; end = text.indexOf("\r\n")) {
        const verb = text.slice(0, 4).toUpperCase();
        text = text.slice(end + 2);
        inContent = verb === "DATA";
        socket.write(inContent ? "354 go on\r\n" : verb === "QUIT" ? "221 bye\r\n" : "250 yes\r\n");
      }
      if (!inContent) return;
      seen.begun++;
      if (seen.stalls) socket.pause();
    });
    socket.write("220 stalling.example ESMTP\r\n");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    get begun() {
      return seen.begun;
    },
    get broken() {
      return seen.broken;
    },
    get taken() {
      return seen.taken;
    },
    goOn() {
      seen.stalls = false;
      for (const socket of sockets) socket.resume();
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
