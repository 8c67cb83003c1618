// The one place that talks to the network: gRPC-Web, as Envoy takes it.
import { createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import type { Request } from "./conversation.js";
import { ChatService, type StreamChatResponse } from "./generated/headgate/v1/chat_pb.js";

/** How long a call may take, waiting in line included; the gateway is told and keeps to it. */
const DEADLINE_MS = 600_000;

export class Gateway {
  readonly #client;

  constructor(readonly address: string) {
    this.#client = createClient(ChatService, createGrpcWebTransport({ baseUrl: address }));
  }

  /**
   * Asks; gives the events of the answer as they come.
   *
   * @param token goes along as a bearer token; empty: none.
   * @param signal ends the call, which the gateway and the upstream then see.
   * @throws ConnectError the stream did not end well.
   */
  stream(request: Request, token: string, signal: AbortSignal): AsyncIterable<StreamChatResponse> {
    const headers: Record<string, string> = { "idempotency-key": request.idempotencyKey };
    if (token) headers["authorization"] = `Bearer ${token}`;
    return this.#client.streamChat(request, { headers, signal, timeoutMs: DEADLINE_MS });
  }
}
