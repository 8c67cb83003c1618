// An answer as it comes: a state, and what each event makes of it. Nothing here waits or draws.
import { durationMs } from "@bufbuild/protobuf/wkt";

import type { StreamChatResponse, StreamFinished } from "./generated/headgate/v1/chat_pb.js";
import type { Refusal } from "./refusal.js";

/** `asked` until something comes; `waiting` in line; the last three are ends. */
export type Phase = "asked" | "waiting" | "answering" | "finished" | "stopped" | "refused";

/** A place in line. */
export interface Place {
  /** 1 is the next to start. */
  position: number;
  /** When the slot comes, on the clock that `heard` was given; undefined: nobody can say. */
  dueAt: number | undefined;
  /** Whether that is arithmetic, or an estimate. */
  exact: boolean;
}

export interface Answer {
  phase: Phase;
  text: string;
  /** What the model thought, where the upstream tells it. */
  thoughts: string;
  model: string;
  place?: Place;
  end?: StreamFinished;
  refusal?: Refusal;
}

export const ASKED: Answer = { phase: "asked", text: "", thoughts: "", model: "" };

/** The answer after an event; events that are not known change nothing. */
export function heard(answer: Answer, { event }: StreamChatResponse, now: number): Answer {
  switch (event.case) {
    case "queued": {
      const { position, estimatedWait, exact } = event.value;
      const dueAt = estimatedWait && now + durationMs(estimatedWait);
      return { ...answer, phase: "waiting", place: { position, dueAt, exact } };
    }
    case "started":
      return { ...answer, phase: "answering", model: event.value.model };
    case "delta": {
      const { choiceIndex, content, refusal, reasoningContent } = event.value;
      if (choiceIndex !== 0) return answer;
      const text = answer.text + content + refusal;
      return { ...answer, phase: "answering", text, thoughts: answer.thoughts + reasoningContent };
    }
    case "finished":
      return { ...answer, phase: "finished", end: event.value };
    default:
      return answer;
  }
}

export function stopped(answer: Answer): Answer {
  return isOver(answer) ? answer : { ...answer, phase: "stopped" };
}

export function refused(answer: Answer, refusal: Refusal): Answer {
  return { ...answer, phase: "refused", refusal };
}

export function isOver({ phase }: Answer): boolean {
  return phase === "finished" || phase === "stopped" || phase === "refused";
}
