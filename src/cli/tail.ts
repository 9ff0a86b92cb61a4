import { parseQueueName } from "../protocol/queue-name.js";
import { type FollowOptions, followLog } from "./log-follow.js";

/** What to show of the log. */
export interface TailFilter {
  /** Kinds of records, empty for all; compared without regard to case. */
  readonly types: readonly string[];
  /** Only records of this recipient or queue domain; null for all. */
  readonly domain: string | null;
}

/** A log record as it is read: any JSON object. */
type Parsed = Readonly<Record<string, unknown>>;

/** Reads a line; null when it is no JSON object (a line that was torn by a full disk). */
export function parseRecord(line: string): Parsed | null {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** True when the filter lets the record through. */
export function matchesFilter(record: Parsed, filter: TailFilter): boolean {
  if (filter.types.length > 0) {
    const type = text(record, "type").toLowerCase();
    if (!filter.types.some((wanted) => wanted.toLowerCase() === type)) return false;
  }
  if (filter.domain === null) return true;
  const domain = filter.domain.toLowerCase();
  const recipient = text(record, "recipient");
  if (recipient.slice(recipient.lastIndexOf("@") + 1).toLowerCase() === domain) return true;
  return parseQueueName(text(record, "queue")).domain.toLowerCase() === domain;
}

/** Most characters that are shown of a command that was refused: it is the client's, of any length. */
const MAX_COMMAND_SHOWN = 120;

/**
 * One line for a terminal: time (UTC), kind, sender, recipient, response, site, time since reception; a Rejection, which
 * has no message yet, says instead who was refused what, and the response.
 *
 *     12:03:04 Delivery         a@b.example → c@d.example  250 2.0.0 OK (d.example) 0.012s
 *     12:03:04 Rejection        192.0.2.7 (client.example): RCPT TO:<c@d.example> from a@b.example  550 5.7.1 No
 *
 * Control characters, which a stranger's reply may hold, are shown as `\xNN` and never reach the terminal.
 */
export function formatRecord(record: Parsed): string {
  const time = text(record, "event_time").slice(11, 19);
  const type = text(record, "type");
  const who = type === "Rejection" ? refusedWhat(record) : parties(record);
  const site = text(record, "site");
  const parts = [time, type.padEnd(16), `${who} `, formatResponse(record["response"])];
  if (site !== "") parts.push(`(${site})`);
  const reason = text(record, "wait_reason");
  if (reason !== "") parts.push(`[${reason}]`);
  const took = Date.parse(text(record, "event_time")) - Date.parse(text(record, "created_time"));
  if (type !== "Reception" && type !== "Rejection" && Number.isFinite(took)) parts.push(`${(took / 1000).toFixed(3)}s`);
  return visible(parts.join(" "));
}

function parties(record: Parsed): string {
  return `${text(record, "sender") || "<>"} → ${text(record, "recipient") || "-"}`;
}

/** The client, by address and the name that it gave, and what of its doing was refused. */
function refusedWhat(record: Parsed): string {
  const peer = object(record["peer_address"]);
  const name = text(peer, "name");
  const client = `${text(peer, "addr") || "unknown client"}${name === "" ? "" : ` (${name})`}`;
  const sender = text(record, "sender");
  const command = text(object(record["response"]), "command");
  // MAIL names the sender itself, and before it there is none.
  const from = sender === "" || /^MAIL/i.test(command) ? "" : ` from ${sender}`;
  return `${client}${command === "" ? "" : `: ${commandShown(command)}`}${from}`;
}

function commandShown(command: string): string {
  if (command === ".") return "the message";
  return command.length > MAX_COMMAND_SHOWN ? `${command.slice(0, MAX_COMMAND_SHOWN)}…` : command;
}

/** How `tail` shows what it finds. */
export interface TailOptions extends FollowOptions {
  readonly filter: TailFilter;
  /** True: the lines as they are in the log; false: one readable line each. */
  readonly json: boolean;
  /** Takes one line, without its end. */
  readonly print: (line: string) => void;
}

/** Follows the log and prints what the filter lets through, until there is no more or `wait` says to end. */
export async function tailLog(options: TailOptions): Promise<void> {
  for await (const line of followLog(options)) {
    const record = parseRecord(line);
    if (record === null || !matchesFilter(record, options.filter)) continue;
    options.print(options.json ? line : formatRecord(record));
  }
}

function formatResponse(value: unknown): string {
  if (!isObject(value)) return "-";
  const enhanced = value["enhanced_code"];
  const code = typeof value["code"] === "number" ? String(value["code"]) : "-";
  const detail = isObject(enhanced) ? ` ${enhanced["class"]}.${enhanced["subject"]}.${enhanced["detail"]}` : "";
  return `${code}${detail} ${text(value, "content")}`;
}

function object(value: unknown): Parsed {
  return isObject(value) ? value : {};
}

function isObject(value: unknown): value is Parsed {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(record: Parsed, field: string): string {
  const value = record[field];
  return typeof value === "string" ? value : "";
}

/** Controls (C0, DEL, C1) as `\xNN`; bidirectional controls as `\uNNNN`. */
function visible(line: string): string {
  return line.replace(
    /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]/g,
    (character) => {
      const code = character.charCodeAt(0);
      return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
    },
  );
}
