import assert from "node:assert/strict";
import { test } from "node:test";

import { ASKED, heard, stopped } from "../src/answer.js";
import { blocks } from "../src/blocks.js";
import type { StreamChatResponse } from "../src/generated/headgate/v1/chat_pb.js";
import { Narration } from "../src/narration.js";
import { delta, finished, queued } from "./events.js";

/** What is read aloud with each event; an event is a second after the other. */
function aloud(...events: StreamChatResponse[]): string[][] {
  const narration = new Narration();
  let answer = ASKED;
  return events.map((event, second) => {
    answer = heard(answer, event, second * 1_000);
    return narration.next(answer, blocks(answer.text), second * 1_000);
  });
}

test("tokens are not read aloud; paragraphs are, once they are whole", () => {
  const tokens = ["One ", "two", ".\n\n", "Three ", "four", ".\n\nF", "ive."];
  assert.deepEqual(aloud(...tokens.map((token) => delta(token)), finished()), [
    ...[[], [], [], ["One two."], [], ["Three four."], []],
    ["Five.", "End of the answer."],
  ]);
});

test("places in line are read at most every five seconds, and only when they have changed", () => {
  const places = [9, 8, 7, 6, 5, 4, 4, 4, 4, 4, 4, 1].map((place) => queued(place, place * 500));
  assert.deepEqual(
    aloud(...places).map(([said]) => said),
    [
      "In line, 8 calls before you. 5 seconds to go.",
      ...Array<undefined>(4).fill(undefined),
      "In line, 3 calls before you. 2 seconds to go.",
      ...Array<undefined>(5).fill(undefined),
      "You are next in line. 1 second to go.",
    ],
  );
});

test("an end without words is told too", () => {
  assert.deepEqual(aloud(finished()), [["The answer is empty."]]);
  assert.deepEqual(aloud(delta("A."), finished(2))[1], ["A.", "Cut at the limit of tokens."]);
  const narration = new Narration();
  assert.deepEqual(narration.next(stopped(ASKED), [], 0), ["Stopped before an answer came."]);
});
