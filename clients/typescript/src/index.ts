/**
 * The TypeScript client of headgate: chat completions over gRPC, with typed errors and streams.
 *
 * ```ts
 * const client = new HeadgateClient("127.0.0.1:50051");
 * for await (const piece of client.streamChat("Hello!").text()) process.stdout.write(piece);
 * client.close();
 * ```
 *
 * @module
 */
export { Metadata, status } from "@grpc/grpc-js";
export * from "./client.js";
export * from "./duration.js";
export * from "./errors.js";
export * from "./stream.js";
export type { Duration } from "./generated/google/protobuf/duration.js";
export * from "./generated/headgate/v1/chat.js";
