import assert from "node:assert/strict";
import { test } from "node:test";

import { type Answer, ASKED, heard, isOver, refused, stopped } from "../src/answer.js";
import type { StreamChatResponse } from "../src/generated/headgate/v1/chat_pb.js";
import { cutShort } from "../src/refusal.js";
import { delta, event, finished, queued } from "./events.js";

const after = (...events: StreamChatResponse[]): Answer =>
  events.reduce((answer, each) => heard(answer, each, 1_000), ASKED);

test("a call waits in line, then is answered, then finished", () => {
  assert.equal(ASKED.phase, "asked");
  const waiting = after(queued(3, 1_500));
  assert.equal(waiting.phase, "waiting");
  assert.deepEqual(waiting.place, { position: 3, dueAt: 2_500, exact: true });
  assert.equal(after(queued(3)).place?.dueAt, undefined);
  const started = after(queued(1), event({ case: "started", value: { model: "m" } }));
  assert.deepEqual([started.phase, started.model], ["answering", "m"]);
  const done = after(delta("He"), delta("llo"), finished());
  assert.deepEqual([done.phase, done.text, isOver(done)], ["finished", "Hello", true]);
});

test("the text is that of the first choice; thoughts stand apart; a refusal in words is text", () => {
  const answer = after(
    event({ case: "delta", value: { reasoningContent: "hm" } }),
    delta("other", 1),
    event({ case: "delta", value: { refusal: "I would rather not." } }),
  );
  assert.deepEqual([answer.text, answer.thoughts], ["I would rather not.", "hm"]);
});

test("events that say nothing new change nothing", () => {
  const answer = after(delta("He"));
  assert.equal(heard(answer, event({ case: "heartbeat", value: {} }), 2_000), answer);
  assert.equal(heard(answer, event({ case: undefined }), 2_000), answer);
});

test("what was said before an end stays; what is over is not stopped again", () => {
  assert.deepEqual(stopped(after(delta("He"))), { ...after(delta("He")), phase: "stopped" });
  const done = after(delta("He"), finished());
  assert.equal(stopped(done), done);
  assert.equal(refused(after(delta("He")), cutShort()).text, "He");
});
