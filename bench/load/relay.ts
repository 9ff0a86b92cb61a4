/**
 * What round trips cost: `node dist/bench/load/relay.js [--delay MS] [--messages N] [--kilobytes N]`. A server sends over one
 * connection to a sink behind a relay that holds everything up, each way so long; printed are messages per second for
 * DATA, for DATA with pipelined commands, for BDAT in one write, and recipients per second for transactions of a hundred.
 */
import { parseArgs } from "node:util";
import { DEFAULT_PROFILE } from "../../src/sink/options.js";
import { startSink } from "../../src/sink/sink.js";
import { startRelay } from "../../test/support/relay.js";
import { makeDir, removeDir, startServer, until, writeConfig } from "../../test/support/server.js";
import { connectAndGreet } from "../../test/support/smtp-client.js";

const { values } = parseArgs({
  options: {
    delay: { type: "string", default: "50" },
    messages: { type: "string", default: "40" },
    kilobytes: { type: "string", default: "10" },
  },
});
const delayMs = Number(values.delay);
const messages = Number(values.messages);
const line = `${"x".repeat(98)}\r\n`;
const content = `Subject: x\r\n\r\n${line.repeat(Math.ceil((Number(values.kilobytes) * 1024) / line.length)).slice(0, -2)}`;

const VARIANTS = [
  { name: "DATA", shaping: "enable_pipelining = false", recipients: 1 },
  { name: "DATA, pipelined", shaping: "max_bdat_size = 0", recipients: 1 },
  { name: "BDAT in one write", shaping: "", recipients: 1 },
  { name: "BDAT, 100 recipients each", shaping: "", recipients: 100 },
];

async function measure(shaping: string, recipients: number): Promise<number> {
  const dir = makeDir();
  const times: number[] = [];
  const sink = await startSink({
    host: "127.0.0.1",
    port: 0,
    profile: DEFAULT_PROFILE,
    onMessage: () => times.push(performance.now()),
  });
  const relay = await startRelay(sink.port, delayMs);
  writeConfig(dir, {
    to: `127.0.0.1:${relay.port}`,
    shaping: `["default"]\nconnection_limit = 1\nmax_deliveries_per_connection = 100000\nmax_ready = 100000\n${shaping}\n`,
  });
  const running = await startServer(dir);
  try {
    const client = await connectAndGreet(running.port);
    for (let i = 0; i < messages; i++) {
      const to = Array.from({ length: recipients }, (_, n) => `r${n}@example.com`);
      await client.send("a@b.example", to, content);
    }
    await client.end();
    await until(() => times.length >= messages, "all to arrive");
    // Without the first one, which had to wait for the connection.
    return ((messages - 1) * 1000) / ((times.at(-1) as number) - (times[0] as number));
  } finally {
    await running.stop();
    await relay.stop();
    await sink.stop();
    removeDir(dir);
  }
}

process.stdout.write(`${values.kilobytes} KB, ${delayMs} ms each way, one connection:\n`);
for (const { name, shaping, recipients } of VARIANTS) {
  const rate = await measure(shaping, recipients);
  const each = recipients === 1 ? "" : `, ${(rate * recipients).toFixed(0)} recipients/s`;
  process.stdout.write(`${name.padEnd(28)} ${rate.toFixed(2).padStart(7)} messages/s${each}\n`);
}
