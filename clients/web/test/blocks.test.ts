import assert from "node:assert/strict";
import { test } from "node:test";

import { blocks } from "../src/blocks.js";

const html = (text: string) => blocks(text).map((block) => block.html.trim());
const spoken = (text: string) => blocks(text).map((block) => block.spoken);

test("what was drawn stays as it is while an answer grows", () => {
  const whole = "First *one*.\n\n- a\n- b\n\n```py\nx = 1\n```\n\nLast.";
  const end = html(whole);
  assert.equal(end.length, 4);
  for (let length = 0; length < whole.length; length++) {
    const part = html(whole.slice(0, length));
    assert.deepEqual(part.slice(0, -1), end.slice(0, Math.max(part.length - 1, 0)));
  }
});

test("nothing in an answer becomes part of the page", () => {
  const [block] = html('<img src=x onerror="alert(1)"> <script>alert(1)</script>');
  assert(!/<(img|script)/.test(block!));
  assert.match(html("[a](javascript:alert(1))")[0]!, /^<p>\[a\]/);
  assert(!html("![pixel](https://evil.example/p.png)")[0]!.includes("<img"));
  assert.match(html('```"><script>\nx\n```')[0]!, /<figcaption>&quot;&gt;&lt;script&gt;</);
});

test("links open elsewhere and do not tell where from", () => {
  const [block] = html("[docs](https://example.org)");
  assert.match(block!, /href="https:\/\/example.org" rel="noopener noreferrer" target="_blank"/);
});

test("code can be scrolled with the keyboard, and an unfinished one is code already", () => {
  const [block] = html("```python\nprint(1 < 2)");
  assert.match(block!, /<pre tabindex="0" role="group" aria-label="Code, python">/);
  assert.match(block!, /print\(1 &lt; 2\)/);
});

test("headings in an answer stand below those of the page", () => {
  assert.deepEqual(html("# A\n\n##### B"), ["<h4>A</h4>", "<h6>B</h6>"]);
});

test("what is read aloud is words, and of code only its length", () => {
  assert.deepEqual(spoken("Say **this**,\nand `that`.\n\n- one\n- two"), [
    "Say this, and that.",
    "one\ntwo",
  ]);
  assert.deepEqual(spoken("```\na\nb\n```\n\n    c"), ["Code, 2 lines.", "Code, 1 line."]);
});
