/**
 * Looks at the header section: `node dist/bench/micro/header-scan.js`. Nanoseconds per message of 1 KB and ten header lines,
 * and of one whose every header line begins like the name that is looked for.
 *
 *   countHops   Received fields are counted
 *   fieldAt     a field is looked for that is not there (what a message without X-Hikyaku-Force-Sync pays)
 */
import { countHops, fieldAt } from "../../src/mail/headers.js";

const ROUNDS = 300_000;
const NAME = "x-hikyaku-force-sync";

const usual = Buffer.from(
  `${[
    "Received: from app.example.com ([192.0.2.7])\r\n\tby mta.example.org with ESMTP id 0199b1c2d3e4700080000f1e2d3c4b5a",
    "From: News <news@example.com>",
    "To: someone@example.net",
    "Subject: The usual length of a subject line",
    "Date: Wed, 25 Nov 2026 15:00:00 +0000",
    "Message-ID: <0123456789@example.com>",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "X-Mailer: something",
    "List-Unsubscribe: <https://example.com/u/0123456789abcdef>",
  ].join("\r\n")}\r\n\r\n${"Text of the message.\r\n".repeat(25)}`,
);
const alike = Buffer.from(`${"X-Hikyaku-Force-Sink: yes\r\n".repeat(10)}\r\n${"Text of the message.\r\n".repeat(25)}`);

function measure(what: string, look: () => number): void {
  let sum = 0;
  for (let i = 0; i < ROUNDS / 10; i++) sum += look();
  const begun = performance.now();
  for (let i = 0; i < ROUNDS; i++) sum += look();
  const ns = ((performance.now() - begun) / ROUNDS) * 1e6;
  console.log(`${what.padEnd(16)} ${ns.toFixed(0).padStart(6)} ns${Number.isNaN(sum) ? "!" : ""}`);
}

measure("countHops", () => countHops(usual, 0, usual.length));
measure("fieldAt", () => fieldAt(usual, 0, usual.length, NAME));
measure("fieldAt, alike", () => fieldAt(alike, 0, alike.length, NAME));
