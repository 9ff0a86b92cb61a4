/** Connections through scripted proxies, over real sockets, with the addon and with its stand-in. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { describe, type TestContext, test } from "node:test";
import type { ProxyConfig } from "../../../../src/config/compiled.js";
import type { Native } from "../../../../src/native/binding.js";
import { loadNative } from "../../../../src/native/load.js";
import { StandIn } from "../../../../src/native/stand-in.js";
import { connectThrough } from "../../../../src/worker/egress/proxy/through.js";
import { Peer, World } from "../../../native/peer.js";
import { until } from "../../../support/server.js";

const TARGET = { address: "198.51.100.1", port: 25, unix: null, localAddress: null };
const OK = [5, 0, 0, 1, 192, 0, 2, 77, 0x10, 0xe1];

/** A proxy on 127.0.0.1 that does what `script` does with each connection. */
class ScriptedProxy {
  readonly heard: Buffer[] = [];
  readonly sockets: Socket[] = [];
  port = 0;
  #server: Server | null = null;

  static async start(t: TestContext, script: (socket: Socket) => void, host = "127.0.0.1", port = 0) {
    const proxy = new ScriptedProxy();
    const server = createServer((socket) => {
      const at = proxy.sockets.push(socket) - 1;
      proxy.heard.push(Buffer.alloc(0));
      socket.on("error", () => {});
      socket.on("data", (bytes: Buffer) => {
        proxy.heard[at] = Buffer.concat([proxy.heard[at] as Buffer, bytes]);
      });
      script(socket);
    });
    proxy.#server = server;
    await once(server.listen(port, host), "listening");
    const address = server.address();
    proxy.port = typeof address === "object" && address !== null ? address.port : 0;
    t.after(() => {
      for (const socket of proxy.sockets) socket.destroy();
      proxy.#server?.close();
    });
    return proxy;
  }
}

/** Answers each thing the client says with the next of these; a null answer hangs up. */
function answering(...replies: readonly (readonly number[] | string | null)[]) {
  return (socket: Socket): void => {
    let next = 0;
    socket.on("data", () => {
      const reply = replies[next++];
      if (reply === null) socket.end();
      else if (reply !== undefined) socket.write(Buffer.from(reply as string));
    });
  };
}

function haproxy(port: number, more: Partial<ProxyConfig> = {}): ProxyConfig {
  const proxy = { protocol: "haproxy", server: { host: "127.0.0.1", port }, sourceAddress: "192.0.2.7", version: 2 };
  return { ...proxy, ...more } as ProxyConfig;
}

function socks(port: number, more: Partial<ProxyConfig> = {}): ProxyConfig {
  const proxy = { protocol: "socks5", server: { host: "127.0.0.1", port }, sourceAddress: "192.0.2.7" };
  return { ...proxy, credentials: null, ...more } as ProxyConfig;
}

/** What a source's proxy makes of a connection. `names` are the addresses of the proxy's name. */
function through(
  t: TestContext,
  native: Native,
  proxy: ProxyConfig,
  more: { ms?: number; target?: Partial<typeof TARGET> | object; names?: readonly string[] } = {},
): Peer {
  const world = new World(native);
  t.after(() => world.reactor.close());
  const peer = new Peer();
  const asked: string[] = [];
  const parts = {
    reactor: world.reactor,
    resolve: (_host: string, strategy: string, done: (v4: readonly string[], v6: readonly string[]) => void) => {
      asked.push(strategy);
      setImmediate(() => done(strategy === "Ipv6Only" ? [] : (more.names ?? []), []));
    },
  };
  peer.connection = connectThrough(parts, proxy, { ...TARGET, ...more.target }, more.ms ?? 5000, peer);
  return peer;
}

/** The fault that a connection ends with. */
async function faultOf(peer: Peer): Promise<string> {
  const fault = await peer.closed.promise;
  assert.deepEqual(peer.events, ["close"], "nobody was told of a connection");
  return `${fault?.code} ${fault?.message}`;
}

for (const native of [loadNative(), new StandIn()]) {
  describe(`${native.kind}: through a proxy`, () => {
    test("HAProxy: the header goes first, in one piece, and the rest belongs to both", async (t) => {
      for (const version of [1, 2] as const) {
        const proxy = await ScriptedProxy.start(t, (socket) => socket.write("220 mx\r\n"));
        const peer = through(t, native, haproxy(proxy.port, { version }));
        assert.equal(await peer.bytes(8), "220 mx\r\n");
        assert.deepEqual(peer.events, ["connect"]);
        peer.connection.writeText("EHLO x\r\n");
        const header =
          version === 1
            ? Buffer.from("PROXY TCP4 192.0.2.7 198.51.100.1 0 25\r\n").toString("hex")
            : "0d0a0d0a000d0a515549540a2111000cc0000207c633640100000019";
        const expected = header + Buffer.from("EHLO x\r\n").toString("hex");
        await until(() => (proxy.heard[0]?.length ?? 0) * 2 >= expected.length, "what was said");
        assert.equal(proxy.heard[0]?.toString("hex"), expected);
        const { connection } = peer;
        assert.deepEqual(
          [connection.localAddress, connection.remoteAddress, connection.remotePort],
          ["192.0.2.7", "198.51.100.1", 25],
        );
        connection.destroy();
        assert.equal(await peer.closed.promise, null);
      }
    });

    test("SOCKS: nothing but the handshake is sent before it ends; a banner in its last piece is kept", async (t) => {
      const proxy = await ScriptedProxy.start(t, answering([5, 0], OK, [...OK, ...Buffer.from("220 mx\r\n")]));
      const peer = through(t, native, socks(proxy.port));
      assert.equal(await peer.bytes(8), "220 mx\r\n");
      assert.equal(proxy.heard[0]?.toString("hex"), "05010005020001c0000207000005010001c63364010019");
      assert.deepEqual([peer.connection.localAddress, peer.connection.localPort], ["192.0.2.77", 4321]);
      peer.connection.writeText("QUIT\r\n");
      await until(() => proxy.heard[0]?.toString().endsWith("QUIT\r\n") === true, "the command");
      proxy.sockets[0]?.end("221 bye\r\n");
      await peer.ended.promise;
      assert.equal(peer.received, "220 mx\r\n221 bye\r\n");
      peer.connection.end();
      assert.equal(await peer.closed.promise, null);
    });

    test("SOCKS: what fails has its code, its words, and the proxy's name", async (t) => {
      const refused = (code: number) => [5, code, 0, 1, 0, 0, 0, 0, 0, 0];
      const rows: readonly [string, (socket: Socket) => void, RegExp][] = [
        [
          "auth",
          answering([5, 0xff]),
          /^proxy\.handshake proxy socks5 127.0.0.1:\d+: it wants a user name and password/,
        ],
        [
          "bind",
          answering([5, 0], refused(1)),
          /^proxy\.unplumbed .*: general failure, in reply to BIND 192\.0\.2\.7$/,
        ],
        ["no bind", answering([5, 0], refused(7)), /^proxy\.handshake .*: command not supported, in reply to BIND/],
        [
          "connect",
          answering([5, 0], OK, refused(5)),
          /^proxy\.destination .*: connection refused, in reply to CONNECT 198\.51\.100\.1 port 25$/,
        ],
        ["rules", answering([5, 0], OK, refused(2)), /^proxy\.handshake .*: not allowed by its rules/],
        [
          "hang up",
          answering([5, 0], null),
          /^proxy\.handshake .*: it closed the connection while waiting for the reply to BIND/,
        ],
        [
          "at once",
          (socket) => socket.end(),
          /^proxy\.handshake .*: it closed the connection while waiting for the reply to the greeting/,
        ],
        [
          "nonsense",
          (socket) => socket.write("220 this is no proxy\r\n"),
          /^proxy\.handshake .*: version 50 instead of 5/,
        ],
        ["ahead", answering([5, 0, ...OK]), /^proxy\.handshake .*: it sent more than it was asked for/],
      ];
      for (const [name, script, expected] of rows) {
        const proxy = await ScriptedProxy.start(t, script);
        assert.match(await faultOf(through(t, native, socks(proxy.port))), expected, name);
      }
    });

    test("a proxy that is not there, and one that stays silent, are named within the time", async (t) => {
      const proxy = await ScriptedProxy.start(t, () => {});
      const begun = performance.now();
      const silent = await faultOf(through(t, native, socks(proxy.port), { ms: 150 }));
      assert.match(
        silent,
        /^proxy\.unreachable .*: nothing came for 0\.15s while waiting for the reply to the greeting$/,
      );
      assert.ok(performance.now() - begun < 3000);
      const gone = await ScriptedProxy.start(t, () => {}, "127.0.0.3");
      const config = socks(gone.port);
      assert.match(
        await faultOf(through(t, native, config)),
        /^proxy\.unreachable .*ECONNREFUSED while connecting to it$/,
      );
    });

    test("a name is looked up, and each of its addresses is tried, up to the first that works", async (t) => {
      const proxy = await ScriptedProxy.start(t, answering([5, 0], OK, OK), "127.0.0.2");
      const config = socks(proxy.port, { server: { host: "proxy.example", port: proxy.port } });
      const peer = through(t, native, config, { names: ["127.0.0.4", "127.0.0.2"] });
      await peer.connected.promise;
      peer.connection.destroy();
      const none = through(t, native, config, { names: [] });
      assert.match(
        await faultOf(none),
        /^proxy\.unreachable .*proxy\.example:\d+: no usable address was found for its name$/,
      );
      // From an IPv6 address only IPv6 addresses of the proxy could be reached.
      const six = through(t, native, config, { names: ["127.0.0.2"], target: { localAddress: "::1" } });
      assert.match(await faultOf(six), /no usable address/);
      const mute = await ScriptedProxy.start(t, () => {}, "127.0.0.2");
      const second = await ScriptedProxy.start(t, answering([5, 0], OK, OK), "127.0.0.5", mute.port);
      const both = socks(mute.port, { server: { host: "proxy.example", port: mute.port } });
      const begun = performance.now();
      const shared = through(t, native, both, { names: ["127.0.0.2", "127.0.0.5"], ms: 4000 });
      await shared.connected.promise;
      const ms = performance.now() - begun;
      assert.ok(ms > 1900 && ms < 3500, `the silent address had its half of the time, ${ms} ms`);
      shared.connection.destroy();
      assert.equal(second.sockets.length, 1);
      assert.equal(mute.sockets.length, 1);
    });

    test("what a proxy says of the destination is final: its other addresses are not asked", async (t) => {
      const proxy = await ScriptedProxy.start(t, answering([5, 0], OK, [5, 4, 0, 1, 0, 0, 0, 0, 0, 0]));
      const config = socks(proxy.port, { server: { host: "proxy.example", port: proxy.port } });
      assert.match(
        await faultOf(through(t, native, config, { names: ["127.0.0.1", "127.0.0.1"] })),
        /host unreachable/,
      );
      assert.equal(proxy.sockets.length, 1);
    });

    test("families that do not fit, and unix sockets, are refused without a connection", async (t) => {
      const proxy = await ScriptedProxy.start(t, () => {});
      for (const [target, expected] of [
        [
          { address: "2001:db8::1" },
          /^proxy\.destination .*2001:db8::1 is not of the family of the source address 192\.0\.2\.7$/,
        ],
        [
          { address: null, unix: "/run/lmtp.sock" },
          /^proxy\.destination .*a unix socket cannot be reached through a proxy$/,
        ],
      ] as const) {
        for (const config of [haproxy(proxy.port), socks(proxy.port)]) {
          assert.match(await faultOf(through(t, native, config, { target })), expected);
        }
      }
      assert.equal(proxy.sockets.length, 0);
    });

    test("a session that gives up before the proxy is done hears of the end once, without a fault", async (t) => {
      const proxy = await ScriptedProxy.start(t, () => {});
      const named = socks(proxy.port, { server: { host: "proxy.example", port: proxy.port } });
      for (const [config, wait] of [
        [socks(proxy.port), true],
        [socks(proxy.port), false],
        [named, false],
      ] as const) {
        const count = proxy.sockets.length;
        const peer = through(t, native, config, { names: ["127.0.0.1"] });
        if (wait) await until(() => proxy.sockets.length > count, "the connection");
        peer.connection.destroy();
        peer.connection.end();
        assert.equal(await peer.closed.promise, null);
        assert.deepEqual(peer.events, ["close"]);
      }
    });
  });
}
