import { once } from "node:events";
import { truncateSync } from "node:fs";
import { runInThisContext } from "node:vm";
import { Worker } from "node:worker_threads";
import { loadNative } from "../../src/native/load.js";
import { nextTurn, type Peer, World } from "./peer.js";

/** A child process of `limits.test.ts` and `disk-table.ts`; its first argument names one of these, its output is JSON lines. */
const parts: Record<string, (...args: string[]) => Promise<void>> = {
  /** Greets whoever comes, with only few descriptors; tells of its port and of its first stall. */
  async greet() {
    const world = new World(loadNative());
    world.whenAccepted = (peer) => {
      peer.connection.writeText("hi");
      peer.whenEnd = () => peer.connection.end();
    };
    const listener = await world.listen();
    say({ port: world.port });
    let told = false;
    const watch = setInterval(() => {
      if (listener.stalls === 0 || told) return;
      told = true;
      say({ stalled: world.accepted.length });
    }, 20);
    process.stdin.once("data", () => {
      clearInterval(watch);
      say({ stalls: listener.stalls, cpuMs: process.cpuUsage().user / 1000 });
      world.reactor.close();
      process.stdin.destroy();
    });
  },

  /** Tries to reserve a port. */
  async reserve(port = "") {
    try {
      (await loadNative().reservePort("127.0.0.1", Number(port))).release();
      say({ reserved: true });
    } catch (error) {
      say({ reserved: false, error: String(error) });
    }
  },

  /** In a network of its own with a hundred local ports: 240 connections of one source address, to three places. */
  async ports() {
    const world = new World(loadNative());
    const places: number[] = [];
    for (let i = 0; i < 3; i++) {
      await world.listen("127.0.0.1", 10_000 + i);
      places.push(world.port);
    }
    const clients: Peer[] = [];
    for (const port of places) {
      for (let i = 0; i < 80; i++) clients.push(world.connect({ port, localAddress: "127.0.0.2" }));
    }
    const results = await Promise.all(
      clients.map((client) =>
        Promise.race([client.connected.promise.then(() => "up"), client.closed.promise.then((fault) => fault?.errno)]),
      ),
    );
    const ports = new Set(clients.map((client) => client.connection.localPort)).size;
    say({ up: results.filter((result) => result === "up").length, ports });
    world.reactor.close();
  },

  /** In a network of its own: the options that need privilege. */
  async options() {
    const world = new World(loadNative());
    await world.listen("0.0.0.0");
    const common = { device: "lo", mark: 0xfedcba98, userTimeoutMs: 5000 };
    const [marked] = await world.pair({ ...common, localAddress: "127.0.0.2" });
    const [, free] = await world.pair({ address: "192.0.2.1", localAddress: "192.0.2.7", freeBind: true });
    const [, clear] = await world.pair({ address: "192.0.2.1", localAddress: "192.0.2.8", transparent: true });
    const lost = world.connect({ ...common, device: "none0" });
    const fault = await lost.closed.promise;
    await nextTurn(world);
    say({
      marked: marked.events,
      free: free.connection.remoteAddress,
      clear: clear.connection.remoteAddress,
      lost: fault?.errno,
    });
    world.reactor.close();
  },

  /** Has its deaths noted in `path`, and dies, or is killed. */
  die: (path = "", how = "") => die(path, how),

  async touch(path = "", line = "0") {
    if (line !== "0") loadNative().ownLine(Number(line));
    touchWhatIsGone(path);
  },

  async nothing() {
    loadNative();
  },
};

/** Ends this process, in one manner or another; where it must not end, says what happened instead. */
async function die(path: string, how: string): Promise<void> {
  loadNative().markDeaths(path, 8);
  switch (how) {
    case "abort":
      process.abort();
      break;
    case "kill-itself":
      process.kill(process.pid, "SIGILL");
      break;
    case "overflow-the-stack":
      deeper(0);
      break;
    case "touch-what-is-gone":
      touchWhatIsGone(`${path}.gone`);
      break;
    case "touch-what-is-gone-in-a-thread":
      await once(new Worker(new URL(import.meta.url), { argv: ["touch", `${path}.gone`] }), "exit");
      break;
    case "touch-what-is-gone-on-line-7":
      loadNative().ownLine(6);
      await once(new Worker(new URL(import.meta.url), { argv: ["touch", `${path}.gone`, "7"] }), "exit");
      break;
    case "trap-and-live": {
      loadNative().ownLine(6);
      await once(new Worker(new URL(import.meta.url), { argv: ["nothing"] }), "exit");
      process.stdout.write(`${runInThisContext(TRAP)}\n`);
      return;
    }
    default:
      break;
  }
  process.stdout.write("here\n");
  setInterval(() => {}, 1 << 30);
}

function deeper(depth: number): number {
  return 1 + deeper(depth + 1);
}

/** Writes where the mapped file has no block any more. */
function touchWhatIsGone(path: string): void {
  const mapped = loadNative().mapFile(path, 8192);
  truncateSync(path, 0);
  new Uint8Array(mapped ?? new ArrayBuffer(8192))[5000] = 1;
}

/**
 * Reads beyond the memory of a WebAssembly module, compiled so that the processor finds out; returns what was thrown. As
 * text, because the compiler knows WebAssembly only of browsers.
 */
const TRAP = `
  const bytes = [
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    1, 6, 1, 0x60, 1, 0x7f, 1, 0x7f,
    3, 2, 1, 0,
    5, 3, 1, 0, 1,
    7, 5, 1, 1, 0x66, 0, 0,
    10, 9, 1, 7, 0, 0x20, 0, 0x28, 2, 0, 0x0b,
  ];
  const { f } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(bytes))).exports;
  try {
    f(0x7fff0000);
  } catch (error) {
    error.message;
  }`;

function say(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

await parts[process.argv[2] ?? ""]?.(...process.argv.slice(3));
