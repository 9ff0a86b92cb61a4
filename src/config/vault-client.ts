/**
 * Asks one Vault for secrets of its engines of key and value pairs, of either version, by its HTTP interface.
 *
 * Runs on   the thread that reads the configuration
 * Owns      its connections, until it is closed
 * When full it has as many connections as the caller has questions; of one answer no more than 1 MiB is read
 * On failure a `VaultRefusal` that says which Vault, which secret and why; never a token, never what Vault said
 */
import { readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";
import { Agent } from "undici";
import { z } from "zod";
import { causeOf, messageOf } from "../base/fault.js";

const MAX_ANSWER_BYTES = 1024 * 1024;

/** How a Vault is reached. */
export interface VaultAccess {
  readonly address: string;
  readonly token: string;
  /** A part of a Vault that is shared (VAULT_NAMESPACE); null for the whole. */
  readonly namespace: string | null;
  /** File of authorities in PEM that are trusted besides the public ones (VAULT_CACERT). */
  readonly caFile: string | null;
  /** Longest time for one answer, ms. */
  readonly timeoutMs: number;
}

/** Why a secret could not be had. */
export class VaultRefusal extends Error {
  /** The whole Vault could not be reached: there is no use in asking it for others. */
  readonly unreachable: boolean;

  constructor(message: string, unreachable: boolean) {
    super(message);
    this.unreachable = unreachable;
  }
}

/** The pairs of one secret. */
export type VaultPairs = ReadonlyMap<string, unknown>;

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const pairs = z.record(z.string(), z.unknown());
const firstVersion = z.object({ data: pairs });
const secondVersion = z.object({ data: z.object({ data: pairs.nullable() }) });
const mountAnswer = z.object({ data: z.object({ options: z.object({ version: z.string() }).partial().nullish() }) });

/** See the file's header. */
export class VaultClient {
  readonly #access: VaultAccess;
  readonly #base: URL;
  readonly #agent: Agent;
  /** Version of an engine by its mount, as far as it was asked for; null when Vault does not tell. */
  readonly #versions = new Map<string, Promise<1 | 2 | null>>();

  /** @throws {VaultRefusal} when the file of authorities cannot be read. */
  constructor(access: VaultAccess) {
    this.#access = access;
    this.#base = new URL(access.address);
    const timeout = access.timeoutMs;
    this.#agent = new Agent({ connect: { timeout, ...authorities(access.caFile) }, maxHeaderSize: 16_384 });
  }

  /**
   * Reads the pairs of a secret.
   * @throws {VaultRefusal}
   */
  async read(mount: string, path: string): Promise<VaultPairs> {
    let version = this.#versions.get(mount);
    if (version === undefined) {
      version = this.#versionOf(mount);
      this.#versions.set(mount, version);
    }
    const known = await version;
    const secret = `${mount}/${path}`;
    if (known !== 1) {
      const answer = await this.#get(`${mount}/data/${path}`, secret);
      const read = secondVersion.safeParse(answer.body);
      if (answer.status === 200 && read.success && read.data.data.data !== null) return mapOf(read.data.data.data);
      if (read.success) throw this.#refusal(`${secret} was deleted`);
      // A Vault that does not tell versions, and has no such secret of the second one.
      if (known === 2 || answer.status !== 404) throw this.#refused(answer, secret);
    }
    const answer = await this.#get(`${mount}/${path}`, secret);
    const read = firstVersion.safeParse(answer.body);
    if (answer.status === 200 && read.success) return mapOf(read.data.data);
    throw this.#refused(answer, secret);
  }

  /** Ends its connections. */
  close(): void {
    // Not waited for: a connection that is still being made would hold up the answer until its own time is over.
    this.#agent.destroy().catch(() => {});
  }

  /** Asks as Vault's own command line does. An old Vault, or a proxy before one, may not know the question. */
  async #versionOf(mount: string): Promise<1 | 2 | null> {
    const answer = await this.#get(`sys/internal/ui/mounts/${mount}`, mount);
    if (answer.status !== 200) {
      if (answer.status === 403 || answer.status === 404) return null;
      throw this.#refused(answer, mount);
    }
    const read = mountAnswer.safeParse(answer.body);
    if (!read.success) return null;
    return read.data.data.options?.version === "2" ? 2 : 1;
  }

  async #get(path: string, what: string): Promise<Answer> {
    const { token, namespace, timeoutMs } = this.#access;
    const headers: Record<string, string> = { "x-vault-token": token, "x-vault-request": "true" };
    if (namespace !== null) headers["x-vault-namespace"] = namespace;
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      const { statusCode, body } = await this.#agent.request({
        origin: this.#base.origin,
        path: `${this.#base.pathname.replace(/\/$/, "")}/v1/${path.split("/").map(encodeURIComponent).join("/")}`,
        method: "GET",
        headers,
        signal,
      });
      const parts: Buffer[] = [];
      let size = 0;
      for await (const part of body) {
        const bytes = Buffer.from(part);
        size += bytes.length;
        if (size > MAX_ANSWER_BYTES) throw this.#refusal(`its answer about ${what} is larger than 1MiB`);
        parts.push(bytes);
      }
      return { status: statusCode, body: parsed(Buffer.concat(parts).toString("utf8")) };
    } catch (error) {
      if (error instanceof VaultRefusal) throw error;
      const why = signal.aborted ? `no answer within ${timeoutMs} ms` : reasonOf(error);
      throw new VaultRefusal(`Vault at ${this.#access.address} cannot be asked: ${why}`, true);
    }
  }

  #refused({ status }: Answer, what: string): VaultRefusal {
    if (status === 200)
      return this.#refusal(`its answer about ${what} is not that of an engine of key and value pairs`);
    const known: Readonly<Record<number, string>> = {
      403: `the token is not good, or may not read ${what}`,
      404: `it has no ${what}`,
      429: "it is a standby, or asked too often",
      503: "it is sealed or in maintenance",
    };
    const elsewhere = status >= 300 && status < 400 ? "it sends us elsewhere; name that address" : null;
    return this.#refusal(`${known[status] ?? elsewhere ?? `it does not give ${what}`} (HTTP status ${status})`);
  }

  #refusal(why: string): VaultRefusal {
    return new VaultRefusal(`Vault at ${this.#access.address}: ${why}`, false);
  }
}

function mapOf(record: Readonly<Record<string, unknown>>): VaultPairs {
  return new Map(Object.entries(record));
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function authorities(caFile: string | null): { readonly ca?: readonly string[] } {
  if (caFile === null) return {};
  try {
    return { ca: [...rootCertificates, readFileSync(caFile, "utf8")] };
  } catch (error) {
    throw new VaultRefusal(`VAULT_CACERT: ${caFile} cannot be read (${causeOf(error)})`, true);
  }
}

/** What the system, or TLS, says. */
function reasonOf(error: unknown): string {
  const inner = error instanceof AggregateError ? error.errors[0] : error;
  const code = inner instanceof Error && "code" in inner && typeof inner.code === "string" ? inner.code : "";
  const message = messageOf(inner).split("\n")[0]?.slice(0, 200) ?? "";
  return code === "" || message.includes(code) ? message : `${code}: ${message}`;
}
