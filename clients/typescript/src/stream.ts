import { type ClientReadableStream, Metadata, status, type StatusObject } from "@grpc/grpc-js";

import { HeadgateError } from "./errors.js";
import type {
  Queued,
  StreamChatResponse,
  StreamFinished,
  StreamStarted,
} from "./generated/headgate/v1/chat.js";

/** One event of a stream: `$case` says which, `value` is its message. */
export type ChatEvent = NonNullable<StreamChatResponse["event"]>;

const CANCELLED: StatusObject = {
  code: status.CANCELLED,
  details: "Cancelled on client",
  metadata: new Metadata(),
};

/** The status was OK, but an answer without its `finished` event is no whole answer. */
const CUT: StatusObject = {
  code: status.INTERNAL,
  details: "the stream ended without its finished event",
  metadata: new Metadata(),
};

/** A streamed answer: iterate it for events, or its `text()`; leaving the loop cancels the call. */
export class ChatStream implements AsyncIterable<ChatEvent> {
  /** The latest place in line; unset when the call never waited, or did not ask. */
  queued: Queued | undefined;
  /** Who answers; unset before the first delta. */
  started: StreamStarted | undefined;
  /** Finish reasons, usage, gateway; unset until the answer is complete. */
  finished: StreamFinished | undefined;
  /** How many upstream deltas have been read. */
  position = 0;

  readonly #call: ClientReadableStream<StreamChatResponse>;
  readonly #messages: AsyncIterator<StreamChatResponse, undefined>;
  #failure: StatusObject | undefined;
  #cancelled: { reason: unknown } | undefined;

  /** @param call a StreamChat of the stub's that nobody reads yet */
  constructor(call: ClientReadableStream<StreamChatResponse>) {
    this.#call = call;
    // One iterator for all loops, so that leaving one does not destroy the stream under the next.
    this.#messages = call[Symbol.asyncIterator]();
    // An error that comes while nobody reads is kept: grpc-js emits it once, and then ends.
    call.on("error", (error: Error & StatusObject) => (this.#failure ??= error));
  }

  /** Stops the answer; the gateway stops the upstream. Iterating throws CANCELLED from now on. */
  cancel(reason?: unknown): void {
    this.#cancelled ??= { reason };
    this.#call.cancel();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ChatEvent, void, undefined> {
    let ended = false;
    try {
      while (!ended && !this.#cancelled) {
        const { done, value } = await this.#messages.next();
        if (done) ended = true;
        else if (value.event) yield this.#noted(value.event); // an unknown event is unset
      }
    } catch (error) {
      ended = true;
      if (!this.#failure) throw error;
    } finally {
      if (!ended) this.cancel(); // the loop was left
    }
    if (this.finished && !this.#failure && !this.#cancelled) return;
    const failure = this.#failure ?? (this.#cancelled ? CANCELLED : CUT);
    const cause = this.#cancelled?.reason ?? this.#failure;
    throw new HeadgateError(failure, { position: this.position, cause });
  }

  /** The text of the first choice, piece by piece. */
  async *text(): AsyncGenerator<string, void, undefined> {
    for await (const event of this) {
      if (event.$case === "delta" && event.value.choiceIndex === 0 && event.value.content)
        yield event.value.content;
    }
  }

  #noted(event: ChatEvent): ChatEvent {
    if (event.$case === "delta") this.position = event.value.position;
    else if (event.$case === "queued") this.queued = event.value;
    else if (event.$case === "started") this.started = event.value;
    else if (event.$case === "finished") this.finished = event.value;
    return event;
  }
}
