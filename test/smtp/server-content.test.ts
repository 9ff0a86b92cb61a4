import assert from "node:assert/strict";
import { test } from "node:test";
import { BufferPool, SMALLEST_BUFFER } from "../../src/base/buffer-pool.js";
import { Content, HEAD_ROOM } from "../../src/smtp/content.js";

function filled(pool: BufferPool, text: string): Content {
  const content = new Content(pool);
  content.begin(0);
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at < bytes.length; at += 1000) content.append(bytes, at, Math.min(bytes.length, at + 1000));
  return content;
}

test("content: a header goes in front without moving the bytes", () => {
  const content = filled(new BufferPool(0), "hello\r\n");
  const before = content.buffer;
  content.prepend("Received: x\r\n");
  content.prepend("X-\u00fc: \u4f8b\r\n");
  assert.equal(content.bytes().toString(), "X-\u00fc: \u4f8b\r\nReceived: x\r\nhello\r\n");
  assert.equal(content.bytes().buffer, before.buffer);
  assert.equal(content.size, 7);
});

test("content: headers beyond the head room are put in front all the same", () => {
  const content = filled(new BufferPool(0), "hello\r\n");
  const header = `X: ${"y".repeat(HEAD_ROOM)}\r\n`;
  content.prepend("A: b\r\n");
  content.prepend(header);
  content.prepend("C: d\r\n");
  assert.equal(content.bytes().toString(), `C: d\r\n${header}A: b\r\nhello\r\n`);
});

test("content: grows by doubling and keeps its bytes", () => {
  const text = "0123456789".repeat(10_000);
  const content = filled(new BufferPool(0), text);
  assert.equal(content.bytes().toString("latin1"), text);
  assert.equal(content.buffer.length, 128 * 1024);
  for (let i = 0; i < 40_000; i++) content.appendByte(0x41);
  assert.equal(content.bytes().toString("latin1"), text + "A".repeat(40_000));
});

test("content pool: gives released buffers out again, keeps no more than it may, and none that was detached", () => {
  const pool = new BufferPool(3 * SMALLEST_BUFFER);
  const first = pool.take(1);
  assert.equal(first.length, SMALLEST_BUFFER);
  pool.release(first);
  assert.equal(pool.bytes, SMALLEST_BUFFER);
  assert.equal(pool.take(SMALLEST_BUFFER), first);
  assert.equal(pool.bytes, 0);
  pool.release(first);
  pool.release(pool.take(2 * SMALLEST_BUFFER));
  pool.release(pool.take(4 * SMALLEST_BUFFER));
  assert.equal(pool.bytes, 3 * SMALLEST_BUFFER);
  assert.notEqual(pool.take(SMALLEST_BUFFER + 1), first);
  const content = filled(new BufferPool(1 << 20), "mine\r\n");
  const mine = content.bytes();
  content.detach();
  content.begin(0);
  assert.notEqual(content.buffer.buffer, mine.buffer);
  assert.equal(mine.toString(), "mine\r\n");
});
