import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { SystemClock } from "../../src/base/clock.js";
import type { ListenAddress } from "../../src/config/compiled.js";
import { networkExchange } from "../../src/dns/exchange.js";
import { Resolver } from "../../src/dns/resolver.js";
import { SecureRandom } from "../../src/dns/secure-random.js";
import { untestable } from "../support/untestable.js";

const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` };
const PROGRAMS = { nsd: "nsd", unbound: "unbound", "ldns-signzone": "ldnsutils", "ldns-keygen": "ldnsutils" };

/** Whether the programs are here; without them a test says so, and fails where everything must be tested. */
export function canSign(t: TestContext): boolean {
  for (const [program, name] of Object.entries(PROGRAMS)) {
    if (spawnSync("sh", ["-c", `command -v ${program}`], { env }).status === 0) continue;
    return untestable(t, `${program} is missing (Debian package ${name})`);
  }
  return true;
}

/** A signed zone, or a plain one. */
export interface Zone {
  readonly name: string;
  /** Records in zone-file syntax, names relative to the zone; SOA and NS are added. */
  readonly records: string;
  readonly signed: boolean;
  /** Texts that are replaced after signing: then the signature over their record is wrong. */
  readonly forged?: Readonly<Record<string, string>>;
}

/** An authority (NSD) for private zones, and a resolver (Unbound) that validates them, on free ports of loopback. */
export class SignedWorld {
  readonly authority: ListenAddress;
  readonly resolver: ListenAddress;
  readonly #children: readonly ChildProcess[];
  readonly #dir: string;

  private constructor(authority: number, resolver: number, children: readonly ChildProcess[], dir: string) {
    this.authority = { host: "127.0.0.1", port: authority };
    this.resolver = { host: "127.0.0.1", port: resolver };
    this.#children = children;
    this.#dir = dir;
  }

  static async start(zones: readonly Zone[]): Promise<SignedWorld> {
    const dir = mkdtempSync(join(tmpdir(), "hikyaku-dnssec-"));
    const [authority, resolver] = [await freePort(), await freePort()];
    const anchors = zones.flatMap((zone) => writeZone(dir, zone));
    writeFileSync(join(dir, "nsd.conf"), nsdConf(dir, authority, zones));
    writeFileSync(join(dir, "unbound.conf"), unboundConf(dir, resolver, authority, zones, anchors));
    const children = [
      spawn("nsd", ["-d", "-c", join(dir, "nsd.conf")], { env, stdio: ["ignore", "ignore", "inherit"] }),
      spawn("unbound", ["-d", "-c", join(dir, "unbound.conf")], { env, stdio: ["ignore", "ignore", "inherit"] }),
    ];
    const world = new SignedWorld(authority, resolver, children, dir);
    try {
      for (const [at, child] of [
        [world.authority, children[0]],
        [world.resolver, children[1]],
      ] as const) {
        await answers(at, zones[0]?.name ?? "", child);
      }
    } catch (error) {
      await world.stop();
      throw error;
    }
    return world;
  }

  async stop(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, "exit");
      child.kill("SIGTERM");
      await gone;
    }
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Asks until there is an answer. */
async function answers(server: ListenAddress, name: string, child: ChildProcess | undefined): Promise<void> {
  const deadlineMs = performance.now() + 20_000;
  while (performance.now() < deadlineMs) {
    if (child?.exitCode !== null) throw new Error(`the name server ended with ${child?.exitCode}`);
    const resolver = new Resolver({
      clock: new SystemClock(),
      random: new SecureRandom(),
      exchange: networkExchange,
      servers: [server],
      timeoutMs: 300,
    });
    if ((await resolver.lookup(name, "MX")).kind !== "failed") return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no answer from ${server.host}:${server.port}`);
}

/** Writes the zone, signed where it is to be, and returns the files of its trust anchors. */
function writeZone(dir: string, { name, records, signed, forged = {} }: Zone): readonly string[] {
  const head = `$ORIGIN ${name}.\n$TTL 60\n@ SOA ns.${name}. root.${name}. 1 3600 900 86400 30\n@ NS ns.${name}.\nns A 127.0.0.1\n`;
  const path = join(dir, `${name}.zone`);
  writeFileSync(path, `${head}${records}`);
  if (!signed) return [];
  run(dir, "ldns-keygen", "-a", "ECDSAP256SHA256", "-k", name);
  const key = readdirSync(dir).find((file) => file.startsWith(`K${name}.`) && file.endsWith(".key")) ?? "";
  run(dir, "ldns-signzone", "-f", path, path, key.replace(/\.key$/, ""));
  let text = readFileSync(path, "utf8");
  for (const [right, wrong] of Object.entries(forged)) {
    if (!text.includes(right)) throw new Error(`${right} does not stand in the zone`);
    text = text.replace(right, wrong);
  }
  writeFileSync(path, text);
  return [join(dir, key)];
}

function run(dir: string, program: string, ...args: string[]): void {
  const done = spawnSync(program, args, { cwd: dir, env, encoding: "utf8" });
  if (done.status !== 0) throw new Error(`${program}: ${done.stderr}`);
}

function nsdConf(dir: string, port: number, zones: readonly Zone[]): string {
  const zone = zones.map(({ name }) => `zone:\n  name: "${name}"\n  zonefile: "${name}.zone"\n`).join("");
  return `server:
  ip-address: 127.0.0.1
  port: ${port}
  username: ""
  zonesdir: "${dir}"
  database: ""
  logfile: "${dir}/nsd.log"
  pidfile: ""
  xfrdfile: ""
  zonelistfile: "${dir}/zone.list"
  xfrdir: "${dir}"
  cookie-secret-file: ""
remote-control:
  control-enable: no
${zone}`;
}

function unboundConf(
  dir: string,
  port: number,
  authority: number,
  zones: readonly Zone[],
  anchors: readonly string[],
): string {
  const stubs = zones
    .map(({ name }) => `stub-zone:\n  name: "${name}"\n  stub-addr: 127.0.0.1@${authority}\n`)
    .join("");
  return `server:
  interface: 127.0.0.1
  port: ${port}
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "${dir}"
  pidfile: ""
  use-syslog: no
  logfile: "${dir}/unbound.log"
  num-threads: 1
  do-ip6: no
  do-not-query-localhost: no
  module-config: "validator iterator"
  local-zone: "test." nodefault
  access-control: 127.0.0.0/8 allow
${anchors.map((path) => `  trust-anchor-file: "${path}"\n`).join("")}remote-control:
  control-enable: no
${stubs}`;
}
