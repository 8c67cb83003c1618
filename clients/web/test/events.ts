// Events of a stream, with the fields that matter.
import { type MessageInitShape, create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";

import {
  type StreamChatResponse,
  StreamChatResponseSchema,
} from "../src/generated/headgate/v1/chat_pb.js";

type Event = NonNullable<MessageInitShape<typeof StreamChatResponseSchema>["event"]>;

export function event(fields: Event): StreamChatResponse {
  return create(StreamChatResponseSchema, { event: fields });
}

export function delta(content: string, choiceIndex = 0): StreamChatResponse {
  return event({ case: "delta", value: { content, choiceIndex } });
}

export function queued(position: number, waitMs?: number, exact = true): StreamChatResponse {
  const estimatedWait = waitMs === undefined ? {} : { estimatedWait: durationFromMs(waitMs) };
  return event({ case: "queued", value: { position, exact, ...estimatedWait } });
}

export function finished(finishReason = 1): StreamChatResponse {
  return event({ case: "finished", value: { choices: [{ index: 0, finishReason }] } });
}
