/**
 * What the addon gains over the stand-in: small echoes over 40 connections, both ends in one thread.
 *
 *     node dist/bench/micro/native.js [seconds]
 *
 * Prints round trips per second and CPU per round trip (client and server together: two receives, two sends).
 */
import type { Connection, ConnectionHandler, Native } from "../../src/native/binding.js";
import { loadNative } from "../../src/native/load.js";
import { StandIn } from "../../src/native/stand-in.js";

const CONNECTIONS = 40;
const seconds = Number(process.argv[2] ?? 3);
const only = process.argv[3];

/** Answers every chunk with one reply, as an SMTP server does. */
class Server implements ConnectionHandler {
  constructor(readonly connection: Connection) {}
  onConnect(): void {}
  onData(): void {
    this.connection.writeText("250 2.1.5 recipient ok\r\n");
  }
  onEnd(): void {
    this.connection.end();
  }
  onDrain(): void {}
  onClose(): void {}
}

/** Sends a command for every reply. */
class Client implements ConnectionHandler {
  connection!: Connection;
  roundTrips = 0;
  onConnect(): void {
    this.connection.writeText("RCPT TO:<somebody@example.com>\r\n");
  }
  onData(): void {
    this.roundTrips++;
    this.connection.writeText("RCPT TO:<somebody@example.com>\r\n");
  }
  onEnd(): void {}
  onDrain(): void {}
  onClose(): void {}
}

async function measure(native: Native): Promise<void> {
  const reactor = native.createReactor({ arenaBytes: 512 * 1024, onTurn() {} });
  const listener = reactor.listen({ host: "127.0.0.1", port: 0, backlog: 511 }, (connection) => {
    connection.handler = new Server(connection);
  });
  await listener.ready;
  const clients = Array.from({ length: CONNECTIONS }, () => {
    const client = new Client();
    const where = { address: "127.0.0.1", port: listener.port, unix: null, localAddress: null };
    client.connection = reactor.connect(where, client);
    return client;
  });
  const total = (): number => clients.reduce((sum, client) => sum + client.roundTrips, 0);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const before = total();
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const elapsedMs = performance.now() - startMs;
  const cpu = process.cpuUsage(cpuBefore);
  const trips = total() - before;
  reactor.close();
  const rate = Math.round(trips / (elapsedMs / 1000)).toLocaleString("en");
  const user = (cpu.user / trips).toFixed(1);
  const system = (cpu.system / trips).toFixed(1);
  console.log(
    `${native.kind.padEnd(9)} ${rate.padStart(9)} round trips/s   ${user} µs user + ${system} µs system each`,
  );
}

const addon = loadNative();
if (addon.kind === "addon" && only !== "stand-in") await measure(addon);
if (only !== "addon") await measure(new StandIn());
