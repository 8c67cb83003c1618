// A gateway of the tests' own: the generated service, with handlers that each test writes.
import { once } from "node:events";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";

import {
  Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type sendUnaryData,
  type ServerUnaryCall,
  type status,
} from "@grpc/grpc-js";
import {
  type ChatRequest,
  type ChatResponse,
  ChatServiceService,
  type DeepPartial,
  HeadgateClient,
  type ClientOptions,
  StreamChatResponse,
} from "headgate-client";

export type Streaming = ServerWritableStream<ChatRequest, StreamChatResponse>;
export type Unary = ServerUnaryCall<ChatRequest, ChatResponse>;

export interface Handlers {
  chat?: (call: Unary, answer: sendUnaryData<ChatResponse>) => void;
  streamChat?: (call: Streaming) => void;
}

/** Runs a body with a client of a gateway that answers as the handlers say. */
export async function withGateway(
  handlers: Handlers,
  body: (client: HeadgateClient, port: number) => Promise<void>,
  options: ClientOptions = {},
  serverCredentials = ServerCredentials.createInsecure(),
  streamChat: MethodDefinition<ChatRequest, StreamChatResponse> = ChatServiceService.streamChat,
): Promise<void> {
  const server = new Server({ "grpc.max_receive_message_length": -1 });
  const absent = () => {
    throw new Error("this test has no handler for that");
  };
  const service = { ...ChatServiceService, streamChat };
  server.addService(service, { chat: absent, streamChat: absent, ...handlers });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", serverCredentials, (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  const client = new HeadgateClient(`127.0.0.1:${port}`, options);
  try {
    await body(client, port);
  } finally {
    client.close();
    server.forceShutdown();
  }
}

/** Runs a body with a client whose connections to the port can be broken. */
export async function withBreakable(
  port: number,
  body: (client: HeadgateClient, breakOff: () => void) => Promise<void>,
): Promise<void> {
  const sockets = new Set<Socket>();
  const middle = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const socket of [near, far]) sockets.add(socket.on("error", () => undefined));
    near.pipe(far).pipe(near);
  });
  middle.listen(0, "127.0.0.1");
  await once(middle, "listening");
  const client = new HeadgateClient(`127.0.0.1:${(middle.address() as AddressInfo).port}`);
  const breakOff = () => {
    for (const socket of sockets) socket.destroy();
  };
  try {
    await body(client, breakOff);
  } finally {
    client.close();
    breakOff();
    middle.close();
  }
}

/** An event, with the fields that matter. */
export function event(fields: DeepPartial<StreamChatResponse["event"]>): StreamChatResponse {
  return StreamChatResponse.fromPartial({ event: fields });
}

/** A delta of the first choice. */
export function delta(content: string, position: number): StreamChatResponse {
  return event({ $case: "delta", value: { content, position } });
}

/** What a handler ends a call with. */
export function ended(code: status, details: string, trailers: Record<string, string | Buffer>) {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(trailers)) metadata.set(name, value);
  return { code, details, metadata };
}

/** A promise, and what keeps it. */
export function promised<T>(): { promise: Promise<T>; keep: (value: T) => void } {
  let keep!: (value: T) => void;
  const promise = new Promise<T>((resolve) => (keep = resolve));
  return { promise, keep };
}

/** All that comes. */
export async function collected<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
