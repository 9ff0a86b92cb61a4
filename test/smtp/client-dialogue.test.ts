import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { randomInt, SeededRandom } from "../../src/base/random.js";
import type { ClientAuth } from "../../src/smtp/client-auth.js";
import type { OpeningDemand } from "../../src/smtp/client-opening.js";
import { projectRoot } from "../support/root.js";
import { feedCut, message, Recorder, type TestPath } from "./client-harness.js";

/**
 * Runs the conversations of `test/dialogue/client/*.txt`, whole, byte by byte, and cut at random. A line is one of
 *
 *     # text                   a comment
 *     set NAME VALUE           a path setting, before the conversation begins
 *     demand NAME VALUE        startTls, clearWhenRefused
 *     auth NAME=VALUE …        who we are: password=P token=T, clear=yes, unverified=yes; the username is "me"
 *     whole                    what is said in one breath belongs together: only run whole
 *     S: text                  the peer says a line; S~: with a bare LF. \xNN, \t and \\ stand for bytes
 *     C: text                  the next line that we must have said; C~: without a line end
 *     send from=A to=B,C …     a message; content="…" with \r\n, and the flags 8bit utf8 dots bare chunk
 *     event text               the next thing that must have been reported
 *     phase NAME MS            where the machine must stand and how long it may wait
 *     secured [TEXT]           the handshake has ended well; TEXT is what the certificate lacks
 *     unsecured TEXT           the handshake failed
 *     timeout, end, fail TEXT, drained, quit
 *
 * Lines of S that follow one another arrive together. Before anything else is said or done, and at the end, everything
 * that we said and reported must have been expected.
 */
type Step = { readonly at: string; readonly verb: string; readonly rest: string };

function withBytes(text: string): string {
  return text.replace(/\\(?:x([0-9a-f]{2})|(.))/g, (_, hex: string | undefined, char: string | undefined) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    return char === "r" ? "\r" : char === "n" ? "\n" : char === "t" ? "\t" : (char ?? "");
  });
}

function parse(name: string, text: string): Step[] {
  const steps: Step[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    const match = /^(S~?:|C~?:|[a-z]+) ?(.*)$/.exec(line);
    if (match !== null) steps.push({ at: `${name}:${i + 1}`, verb: match[1], rest: match[2] });
    else assert.match(line, /^(#.*)?$/, `${name}:${i + 1}: neither a step nor a comment`);
  }
  return steps;
}

function setting(value: string): string | number | boolean {
  if (value === "true" || value === "false") return value === "true";
  return /^\d+$/.test(value) ? Number(value) : value;
}

function whoWeAre(text: string): ClientAuth {
  const word = (name: string): string | null => new RegExp(`(?:^| )${name}=(\\S+)`).exec(text)?.[1] ?? null;
  return {
    username: "me",
    password: word("password"),
    token: word("token"),
    problem: null,
    withoutTls: word("clear") === "yes",
    withoutValidCertificate: word("unverified") === "yes",
  };
}

/** Lengths of chunks: none for all at once. */
type Cutter = () => readonly number[];

class Run {
  readonly #peer: Recorder;
  readonly #cut: Cutter;
  #said = "";
  #heard = Buffer.alloc(0);
  #events = 0;

  constructor(path: Partial<TestPath>, demand: Partial<OpeningDemand>, cut: Cutter) {
    this.#peer = new Recorder(path, demand);
    this.#cut = cut;
  }

  step({ at, verb, rest }: Step): void {
    const machine = this.#peer.machine;
    if (!verb.startsWith("S")) this.#deliver();
    if (verb.startsWith("S") || /^(send|timeout|end|fail|quit|drained|secured|unsecured)$/.test(verb))
      this.#nothingLeft(at);
    switch (verb) {
      case "S:":
        this.#said += `${withBytes(rest)}\r\n`;
        return;
      case "S~:":
        this.#said += `${withBytes(rest)}\n`;
        return;
      case "C:":
      case "C~:":
        this.#expect(at, verb === "C:" ? `${rest}\r\n` : rest);
        return;
      case "event":
        assert.equal(this.#peer.events[this.#events++], rest, at);
        return;
      case "phase":
        assert.equal(`${machine.phase} ${machine.deadlineMs}`, rest, at);
        return;
      case "send":
        machine.send(this.#message(rest), /(?:^| )chunk(?: |$)/.test(rest));
        return;
      case "secured":
        machine.secured(rest === "" ? null : rest);
        return;
      case "unsecured":
        machine.handshakeFailed({ kind: "tls", result: "validation-failure", reason: rest });
        return;
      case "timeout":
        machine.timedOut();
        return;
      case "end":
        machine.peerEnded();
        return;
      case "fail":
        machine.transportFailed(rest);
        return;
      case "drained":
        machine.drained();
        return;
      case "quit":
        machine.quit();
        return;
      default:
        assert.fail(`${at}: unknown step ${verb}`);
    }
  }

  finish(at: string): void {
    this.#deliver();
    this.#nothingLeft(at);
  }

  #deliver(): void {
    const said = Buffer.from(this.#said, "latin1");
    this.#said = "";
    feedCut(this.#peer.machine, said, this.#cut());
  }

  #expect(at: string, text: string): void {
    this.#heard = Buffer.concat([this.#heard, this.#peer.take()]);
    const bytes = Buffer.from(text, "utf8");
    assert.equal(this.#heard.subarray(0, bytes.length).toString(), text, at);
    this.#heard = this.#heard.subarray(bytes.length);
  }

  #nothingLeft(at: string): void {
    this.#expect(at, "");
    assert.equal(this.#heard.toString(), "", `${at}: before this we said more than was expected`);
    assert.deepEqual(
      this.#peer.events.slice(this.#events),
      [],
      `${at}: before this more was reported than was expected`,
    );
  }

  #message(rest: string): ReturnType<typeof message> {
    const word = (name: string): string | undefined => new RegExp(`(?:^| )${name}=(\\S+)`).exec(rest)?.[1];
    const content = /(?:^| )content="(.*)"/.exec(rest)?.[1];
    const flags = rest.replace(/content=".*"/, "").split(" ");
    return message({
      sender: (word("from") ?? "<from@a.example>").slice(1, -1),
      recipients: (word("to") ?? "<to@b.example>").split(",").map((one) => one.slice(1, -1)),
      ...(content === undefined ? {} : { content: Buffer.from(withBytes(content), "latin1") }),
      hasDotLines: flags.includes("dots"),
      hasBareLineEnds: flags.includes("bare"),
      has8bit: flags.includes("8bit"),
      needsUtf8: flags.includes("utf8"),
    });
  }
}

function run(steps: readonly Step[], cut: Cutter): void {
  const path: Record<string, string | number | boolean> = {};
  const demand: Record<string, unknown> = {};
  for (const { verb, rest } of steps) {
    if (verb === "set") path[rest.split(" ")[0]] = setting(rest.split(" ")[1]);
    else if (verb === "demand") demand[rest.split(" ")[0]] = setting(rest.split(" ")[1]);
    else if (verb === "auth") demand["auth"] = whoWeAre(rest);
  }
  const conversation = new Run(path, demand, cut);
  const rest = steps.filter(({ verb }) => !["set", "demand", "auth", "whole"].includes(verb));
  for (const step of rest) conversation.step(step);
  conversation.finish(`${steps.at(-1)?.at ?? ""} and then the end`);
}

const directory = join(projectRoot, "test", "dialogue", "client");

for (const name of readdirSync(directory).sort()) {
  const steps = parse(name, readFileSync(join(directory, name), "utf8"));
  const whole = steps.some(({ verb }) => verb === "whole");
  test(`dialogue ${name}`, () => {
    run(steps, () => []);
    if (whole) return;
    run(steps, () => [1]);
    const random = new SeededRandom(steps.length);
    for (let i = 0; i < 20; i++) {
      run(steps, () => Array.from({ length: 16 }, () => randomInt(random, 1, 24)));
    }
  });
}
