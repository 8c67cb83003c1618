import assert from "node:assert/strict";
import { test } from "node:test";

import { ASKED, refused } from "../src/answer.js";
import { Conversation, freshKey } from "../src/conversation.js";
import { SystemPromptMode } from "../src/generated/headgate/v1/chat_pb.js";
import { cutShort } from "../src/refusal.js";

const PLAIN = { systemPrompt: "", temperature: undefined };

test("what was said goes along, and questions that got no word do not", () => {
  const conversation = new Conversation();
  conversation.ask("One?", PLAIN, "k1").answer = { ...ASKED, phase: "finished", text: "Yes." };
  conversation.ask("Two?", PLAIN, "k2").answer = refused(ASKED, cutShort());
  const { request } = conversation.ask("Three?", PLAIN, "k3");
  assert.deepEqual(
    request.messages?.map(({ content }) => content),
    ["One?", "Yes.", "Three?"],
  );
});

test("options that are not set are not sent, and what is asked again is what was asked", () => {
  const conversation = new Conversation();
  const { request } = conversation.ask("One?", PLAIN, "k1");
  assert.deepEqual([request.temperature, request.systemPrompt], [undefined, undefined]);
  assert.deepEqual([request.idempotencyKey, request.streamOptions], ["k1", { queueUpdates: true }]);
  const set = conversation.ask("Two?", { systemPrompt: "Be brief.", temperature: 0 }, "k2");
  assert.equal(set.request.temperature, 0);
  assert.deepEqual(set.request.systemPrompt, {
    mode: SystemPromptMode.REPLACE,
    text: "Be brief.",
  });
});

test("keys are as the contract wants them, and no two alike", () => {
  const keys = Array.from({ length: 100 }, freshKey);
  assert.equal(new Set(keys).size, 100);
  for (const key of keys) assert.match(key, /^[0-9a-f]{32}$/);
});
