import assert from "node:assert/strict";
import { test } from "node:test";

import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";

import { ASKED, stopped } from "../src/answer.js";
import { StreamFinishedSchema } from "../src/generated/headgate/v1/chat_pb.js";
import { endText, facts, placeText, span, spokenSpan } from "../src/text.js";

test("a wait is never told shorter than it is", () => {
  assert.deepEqual([0, 1, 450, 950, 1_001, 59_001, 125_000].map(span), [
    ...["0 s", "0.1 s", "0.5 s", "1 s", "2 s", "1 min", "2 min 5 s"],
  ]);
  assert.deepEqual([1, 1_500, 60_000, 61_000].map(spokenSpan), [
    ...["1 second", "2 seconds", "1 minute", "1 minute 1 second"],
  ]);
});

test("what is known of the wait is told, arithmetic apart from estimates", () => {
  const place = { position: 2, dueAt: 5_000, exact: true };
  assert.equal(placeText(place, 2_000), "Your turn comes in 3 s.");
  assert.equal(placeText({ ...place, exact: false }, 2_000), "Your turn comes in about 3 s.");
  assert.match(placeText(place, 5_000), /^It is your turn/);
  assert.equal(placeText({ ...place, dueAt: undefined }, 0), "Others are before you.");
});

test("the facts are what was counted, and nothing else", () => {
  const end = create(StreamFinishedSchema, {
    usage: { completionTokens: 1, promptTokens: 0 },
    gateway: { attempts: 2, queueWait: durationFromMs(1_540), timeToFirstDelta: durationFromMs(0) },
  });
  assert.deepEqual(facts({ ...ASKED, model: "m", end }), [
    ...["m", "1 token", "0 in the prompt", "1.5 s in line", "2 attempts"],
  ]);
  assert.deepEqual(facts(ASKED), []);
});

test("an end that a reader would wonder about has a word", () => {
  assert.equal(endText(stopped({ ...ASKED, text: "He" })), "Stopped here.");
  assert.equal(endText({ ...ASKED, phase: "finished", text: "Hello" }), "");
  const end = create(StreamFinishedSchema, { choices: [{ index: 0, finishReason: 4 }] });
  assert.match(endText({ ...ASKED, phase: "finished", text: "x", end }), /content filter/);
});
