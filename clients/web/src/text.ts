// Times and counts, as a person reads them.
import type { Duration } from "@bufbuild/protobuf/wkt";
import { durationMs } from "@bufbuild/protobuf/wkt";

import type { Answer, Place } from "./answer.js";
import { FinishReason } from "./generated/headgate/v1/chat_pb.js";

/** "0.4 s", "12 s", "2 min 5 s"; seconds are rounded up, so that no wait ends before it is over. */
export function span(ms: number): string {
  if (ms < 950) return `${Math.max(Math.ceil(ms / 100), 0) / 10} s`;
  const seconds = Math.ceil(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const rest = seconds % 60;
  return `${Math.floor(seconds / 60)} min${rest ? ` ${rest} s` : ""}`;
}

/** The same to be read aloud: "12 seconds". */
export function spokenSpan(ms: number): string {
  const seconds = Math.max(Math.ceil(ms / 1000), 1);
  const minutes = Math.floor(seconds / 60);
  const parts = [many(minutes, "minute"), many(seconds % 60, "second")];
  return parts.filter((part) => !part.startsWith("0 ")).join(" ");
}

/** What is known of the wait, in one sentence; nothing is said of a time that has passed. */
export function placeText({ position, dueAt, exact }: Place, now: number): string {
  if (dueAt === undefined) return position === 1 ? "You are next." : "Others are before you.";
  if (dueAt <= now) return "It is your turn; the first word is on its way.";
  return `Your turn comes in ${exact ? "" : "about "}${span(dueAt - now)}.`;
}

/** What was counted and timed, in the order in which a person asks. */
export function facts({ end, model }: Answer): string[] {
  const { usage, gateway } = end ?? {};
  const found: string[] = [];
  const add = (value: number | undefined, words: (value: number) => string) => {
    if (value !== undefined) found.push(words(value));
  };
  if (model) found.push(model);
  add(usage?.completionTokens, (count) => many(count, "token"));
  add(usage?.promptTokens, (count) => `${count} in the prompt`);
  add(positive(gateway?.queueWait), (ms) => `${seconds(ms)} in line`);
  add(positive(gateway?.timeToFirstDelta), (ms) => `first word after ${seconds(ms)}`);
  add(gateway && gateway.attempts > 1 ? gateway.attempts : undefined, (n) => `${n} attempts`);
  return found;
}

/** Why an answer ended, where that is worth a word. */
export function endText({ phase, text, end }: Answer): string {
  if (phase === "stopped") return text ? "Stopped here." : "Stopped before an answer came.";
  const reason = end?.choices.find(({ index }) => index === 0)?.finishReason;
  if (reason === FinishReason.LENGTH) return "Cut at the limit of tokens.";
  if (reason === FinishReason.CONTENT_FILTER) return "Cut by the service's content filter.";
  if (phase === "finished" && !text) return "The answer is empty.";
  return "";
}

export function many(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function positive(duration: Duration | undefined): number | undefined {
  const ms = duration && durationMs(duration);
  return ms !== undefined && ms >= 50 ? ms : undefined;
}

function seconds(ms: number): string {
  return ms < 9_950 ? `${(ms / 1000).toFixed(1)} s` : span(ms);
}
