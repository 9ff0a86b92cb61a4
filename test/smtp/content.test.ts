import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BufferPool } from "../../src/base/buffer-pool.js";
import { Content } from "../../src/smtp/content.js";

test("parts are cut out of a content, the rest stays in order, and a header still fits in front", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string({ maxLength: 30 }), fc.boolean()), { maxLength: 20 }), (pieces) => {
      const content = new Content(new BufferPool(0));
      content.begin(0);
      const parts: number[] = [];
      let kept = "";
      for (const [text, goes] of pieces) {
        const bytes = Buffer.from(text);
        const from = content.end;
        content.append(bytes, 0, bytes.length);
        if (goes && bytes.length > 0) parts.push(from, content.end);
        else kept += text;
      }
      content.cut(parts);
      content.prepend("Received: x\r\n");
      assert.equal(content.bytes().toString(), `Received: x\r\n${kept}`);
    }),
  );
});
