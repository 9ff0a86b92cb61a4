import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SeededRandom } from "../../src/base/random.js";
import { ACCEPT } from "../../src/smtp/server-replies.js";
import type { ServerOptions } from "../../src/smtp/server-settings.js";
import { projectRoot } from "../support/root.js";
import { type Cutter, feedCut, Recorder, randomLengths, replyOf } from "./server-harness.js";

/**
 * Runs the conversations of `test/dialogue/server/*.txt`, whole, byte by byte, and cut at random. A line is one of
 *
 *     # text                    a comment
 *     set NAME VALUE            a listener's option, before the conversation begins
 *     whole                     what is said in one breath belongs together: only run whole
 *     C: text                   the client says a line; C~: without a line end. \r \n \0 \xNN \\ stand for bytes,
 *                               \{text*N} for N times that text
 *     S: text                   the next line that we must have said; a * at its end stands for anything
 *     message text              the next message that the host must have got, as the recorder prints it
 *     content text              the content of the last message, all of it, with escapes
 *     rejected text             the next refusal that was told, once one is expected all are
 *     closed                    we closed
 *     verdict ABOUT REPLY       what the host thinks of `mail ADDRESS`, `rcpt ADDRESS`, `data`; `later` for not yet
 *     answer REPLY, finish REPLY
 *     later                     from now on, messages are finished by `finish`
 *     greet, timeout, shutdown, end, lost, abort REPLY, phase NAME, paused true|false
 *
 * The greeting is said and expected before the first line, unless the first step is `silent`. Lines of C that follow one
 * another arrive together. Before anything else is said or done, and at the end, everything must have been expected.
 */
type Step = { readonly at: string; readonly verb: string; readonly rest: string };

const GREETING = "220 mx.example Hikyaku\r\n";

function withBytes(text: string): string {
  const repeated = text.replace(/\\\{(.*?)\*(\d+)\}/g, (_, part: string, times: string) => part.repeat(Number(times)));
  return repeated.replace(/\\(?:x([0-9a-f]{2})|(.))/g, (_, hex: string | undefined, char: string | undefined) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    return char === "r" ? "\r" : char === "n" ? "\n" : char === "0" ? "\0" : (char ?? "");
  });
}

function parse(name: string, text: string): Step[] {
  const steps: Step[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    const match = /^(C~?:|S:|[a-z]+) ?(.*)$/.exec(line);
    if (match !== null) steps.push({ at: `${name}:${i + 1}`, verb: match[1] as string, rest: match[2] as string });
    else assert.match(line, /^(#.*)?$/, `${name}:${i + 1}: neither a step nor a comment`);
  }
  return steps;
}

class Run {
  readonly #host: Recorder;
  readonly #cut: Cutter;
  #said = "";
  #heard = "";
  #events = 0;
  #rejections = -1;

  constructor(options: Partial<ServerOptions>, cut: Cutter, silent: boolean) {
    this.#host = new Recorder(options);
    this.#cut = cut;
    if (silent) return;
    this.#host.machine.greet();
    assert.equal(this.#host.take(), GREETING);
  }

  step({ at, verb, rest }: Step): void {
    const host = this.#host;
    const machine = host.machine;
    const isSaid = verb === "C:" || verb === "C~:";
    if (isSaid && this.#said === "") this.#nothingLeft(at);
    if (!isSaid) this.#deliver();
    switch (verb) {
      case "C:":
        this.#said += `${withBytes(rest)}\r\n`;
        return;
      case "C~:":
        this.#said += withBytes(rest);
        return;
      case "S:":
        this.#expectLine(at, withBytes(rest));
        return;
      case "message":
        assert.equal(host.events[this.#events++], `message ${rest}`, at);
        return;
      case "closed":
        assert.equal(host.events[this.#events++], "closed", at);
        return;
      case "content":
        assert.equal(host.messages.at(-1)?.content, withBytes(rest), at);
        return;
      case "rejected":
        if (this.#rejections < 0) this.#rejections = 0;
        assert.equal(host.rejections[this.#rejections++], rest, at);
        return;
      case "verdict": {
        const [, about, verdict] = /^(data|(?:mail|rcpt) \S+) (.*)$/.exec(rest) ?? [];
        assert.ok(about !== undefined && verdict !== undefined, at);
        host.verdicts.set(about, verdict === "later" ? null : replyOf(verdict));
        return;
      }
      case "later":
        host.finishLater = true;
        return;
      case "phase":
        assert.equal(machine.phase, rest, at);
        return;
      case "paused":
        assert.equal(String(machine.paused), rest, at);
        return;
      default:
        this.#act(at, verb, rest);
    }
  }

  #act(at: string, verb: string, rest: string): void {
    const machine = this.#host.machine;
    this.#nothingLeft(at);
    if (verb === "answer") machine.answer(rest === "accept" ? ACCEPT : replyOf(rest));
    else if (verb === "finish") machine.finish(replyOf(rest));
    else if (verb === "abort") machine.abort(replyOf(rest));
    else if (verb === "greet") machine.greet();
    else if (verb === "timeout") machine.idleTimeout();
    else if (verb === "shutdown") machine.shutdown();
    else if (verb === "end") machine.peerEnded();
    else if (verb === "lost") machine.peerLost();
    else assert.fail(`${at}: unknown step ${verb}`);
  }

  finish(at: string): void {
    this.#deliver();
    this.#nothingLeft(at);
    this.#host.checkRefusals();
  }

  #deliver(): void {
    const said = Buffer.from(this.#said, "latin1");
    this.#said = "";
    feedCut(this.#host.machine, said, this.#cut());
  }

  #expectLine(at: string, line: string): void {
    this.#heard += this.#host.take();
    const end = this.#heard.indexOf("\r\n");
    const said = end < 0 ? "(nothing)" : this.#heard.slice(0, end);
    if (line.endsWith("*")) assert.equal(said.slice(0, line.length - 1), line.slice(0, -1), at);
    else assert.equal(said, line, at);
    this.#heard = this.#heard.slice(end + 2);
  }

  #nothingLeft(at: string): void {
    const host = this.#host;
    this.#heard += host.take();
    assert.equal(this.#heard, "", `${at}: before this we said more than was expected`);
    assert.deepEqual(host.events.slice(this.#events), [], `${at}: before this more happened than was expected`);
    if (this.#rejections >= 0)
      assert.deepEqual(host.rejections.slice(this.#rejections), [], `${at}: more refusals told`);
  }
}

function optionsOf(steps: readonly Step[]): Partial<ServerOptions> {
  const options: Record<string, unknown> = {};
  for (const { verb, rest } of steps) {
    if (verb !== "set") continue;
    const [name, value] = rest.split(" ");
    options[name as string] = /^\d+$/.test(value as string) ? Number(value) : value === "false" ? false : value;
  }
  return options;
}

const WORDS = new Set(["set", "whole", "silent"]);

function run(name: string, steps: readonly Step[], cut: Cutter): void {
  const conversation = new Run(
    optionsOf(steps),
    cut,
    steps.some(({ verb }) => verb === "silent"),
  );
  for (const step of steps) if (!WORDS.has(step.verb)) conversation.step(step);
  conversation.finish(`${name}: end`);
}

const folder = join(projectRoot, "test/dialogue/server");
for (const file of readdirSync(folder).filter((each) => each.endsWith(".txt"))) {
  const steps = parse(file, readFileSync(join(folder, file), "utf8"));
  const name = `server: ${file.replace(".txt", "").replaceAll("-", " ")}`;
  test(`${name}, whole`, () => run(file, steps, () => []));
  if (steps.some(({ verb }) => verb === "whole")) continue;
  test(`${name}, byte by byte`, () => run(file, steps, () => [1]));
  test(`${name}, cut at random`, () => {
    for (let seed = 1; seed <= 6; seed++) {
      const random = new SeededRandom(seed);
      run(file, steps, () => randomLengths(random, seed < 4 ? 7 : 200));
    }
  });
}
