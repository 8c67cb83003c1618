// What is asked, and what was said before.
import { type MessageInitShape } from "@bufbuild/protobuf";

import { type Answer, ASKED } from "./answer.js";
import { type ChatRequestSchema, Role, SystemPromptMode } from "./generated/headgate/v1/chat_pb.js";

export type Request = MessageInitShape<typeof ChatRequestSchema> & { idempotencyKey: string };

/** What the person has set for the next questions. */
export interface Options {
  /** Takes the place of the server's own; empty: the server's. */
  systemPrompt: string;
  /** 0.0 to 2.0; undefined: the upstream's default. */
  temperature: number | undefined;
}

/** A question with its answer so far. */
export interface Turn {
  question: string;
  /** As it was asked first: asking again sends the same, key included. */
  request: Request;
  answer: Answer;
}

export class Conversation {
  readonly turns: Turn[] = [];

  /** Puts a question after what was said so far. */
  ask(question: string, options: Options, key: string): Turn {
    const request: Request = {
      messages: [...this.#said(), { role: Role.USER, content: question }],
      streamOptions: { queueUpdates: true },
      idempotencyKey: key,
    };
    if (options.temperature !== undefined) request.temperature = options.temperature;
    if (options.systemPrompt) {
      request.systemPrompt = { mode: SystemPromptMode.REPLACE, text: options.systemPrompt };
    }
    const turn: Turn = { question, request, answer: ASKED };
    this.turns.push(turn);
    return turn;
  }

  /** Questions that got no word of an answer are not told to the model. */
  #said() {
    return this.turns
      .filter(({ answer }) => answer.text !== "")
      .flatMap(({ question, answer }) => [
        { role: Role.USER, content: question },
        { role: Role.ASSISTANT, content: answer.text },
      ]);
  }
}

/** 128 random bits; `crypto.randomUUID` is missing on pages that came over plain HTTP. */
export function freshKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
