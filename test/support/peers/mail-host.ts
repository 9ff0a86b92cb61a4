/** What the real mail hosts have in common: what they took can be looked at, as they stored it. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../server.js";

/** A message that a host took, for one recipient. */
export interface StoredMail {
  readonly sender: string;
  readonly recipient: string;
  /** The host's own `Received:` field. */
  readonly received: string;
  /** What it was sent, with the line ends as they are stored (LF); one character per byte. */
  readonly content: string;
}

/** A real mail host. */
export interface MailHost {
  readonly kind: "postfix" | "exim";
  readonly address: string;
  readonly port: number;
  /** Where it stores what it took. */
  readonly maildir: string;
  /** What it says that it did. */
  readonly log: string;
  stop(): Promise<void>;
}

/** All that a host stored so far, by sender, recipient. */
export function storedMail(host: Pick<MailHost, "maildir">): StoredMail[] {
  const folder = join(host.maildir, "new");
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names
    .map((name) => parseStored(readFileSync(join(folder, name), "latin1")))
    .sort((a, b) => (`${a.sender} ${a.recipient}` < `${b.sender} ${b.recipient}` ? -1 : 1));
}

/** Waits until a host has stored so many messages, and returns them. */
export async function untilStored(host: MailHost, count: number): Promise<StoredMail[]> {
  let found: StoredMail[] = [];
  await until(
    () => {
      found = storedMail(host);
      return found.length >= count;
    },
    `${count} messages at ${host.kind}, which says:\n${host.log.slice(-4000)}`,
  );
  return found;
}

/** Takes apart what a host put on top: who sent it, for whom, and its trace field. */
function parseStored(text: string): StoredMail {
  let rest = text;
  const facts = new Map<string, string>();
  while (!facts.has("received")) {
    const field = /^([A-Za-z-]+): ([^\n]*\n(?:[ \t][^\n]*\n)*)/.exec(rest);
    if (field === null) throw new Error(`a stored message without a Received field:\n${text.slice(0, 500)}`);
    facts.set((field[1] as string).toLowerCase(), field[2] as string);
    rest = rest.slice(field[0].length);
  }
  const recipient = facts.get("x-original-to") ?? facts.get("envelope-to") ?? "";
  return {
    sender: (facts.get("return-path") ?? "").trim().replace(/^<|>$/g, ""),
    recipient: recipient.trim(),
    received: (facts.get("received") ?? "").trimEnd(),
    content: rest,
  };
}

/** Records of a zone file (`[dns] hosts_file`) in which each domain's MX are these hosts, the first preferred. */
export function zoneOf(domains: Readonly<Record<string, readonly MailHost[]>>): string {
  const lines: string[] = [];
  for (const [domain, hosts] of Object.entries(domains)) {
    hosts.forEach((host, at) => {
      lines.push(`${domain}. 60 IN MX ${(at + 1) * 10} mx${at + 1}.${domain}.`);
      lines.push(`mx${at + 1}.${domain}. 60 IN A ${host.address}`);
    });
  }
  return `${lines.join("\n")}\n`;
}
