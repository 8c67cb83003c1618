import { type ChannelOptions, credentials, Metadata, type StatusObject } from "@grpc/grpc-js";

import { HeadgateError } from "./errors.js";
import { channelDefaults, serviceConfig } from "./generated/defaults.js";
import {
  ChatRequest,
  type ChatResponse,
  ChatServiceClient,
  type DeepPartial,
  Role,
} from "./generated/headgate/v1/chat.js";
import { ChatStream } from "./stream.js";

export const VERSION = "0.1.0";

/** What a call asks: the fields of ChatRequest that matter, or just what the user says. */
export type ChatRequestInit = DeepPartial<ChatRequest> | string;

/** Names and values of gRPC metadata; bytes for names that end in `-bin`. */
export type MetadataInit = Readonly<Record<string, string | Uint8Array>>;

/** TLS: all fields are PEM. Without `ca` Node's own authorities are trusted. */
export interface Tls {
  ca?: string | Uint8Array;
  /** This side's certificate and key, for mTLS; both or none. */
  cert?: string | Uint8Array;
  key?: string | Uint8Array;
  /** The name to expect in the server's certificate, where it is not the target's. */
  serverName?: string;
}

export interface ClientOptions {
  /** `true` or certificates; without it the channel, a token included, is plaintext. */
  tls?: boolean | Tls;
  /** Sent with every call as `authorization: Bearer TOKEN`. */
  token?: string;
  /** Sent with every call. */
  metadata?: MetadataInit;
  /** Milliseconds for every call, streams included, that does not say otherwise. */
  timeoutMs?: number;
  /** Further options of grpc-js's channels; they win over the defaults. */
  channelOptions?: ChannelOptions;
}

export interface CallOptions {
  /** Milliseconds until the call's deadline; Infinity is none. */
  timeoutMs?: number;
  /** Cancels the call; the gateway stops the upstream. */
  signal?: AbortSignal;
  /** Sent with this call; wins over the client's own of the same name. */
  metadata?: MetadataInit;
  /** Called once with the trailing metadata, `x-request-id` among them, however the call ends. */
  onTrailers?: (trailers: Metadata) => void;
}

/** Calls one headgate over one channel, which opens at the first call. */
export class HeadgateClient {
  /** The generated stub, for what has no method here; its errors are grpc-js's own. */
  readonly stub: ChatServiceClient;
  readonly #options: ClientOptions;
  readonly #running = new Set<{ cancel(): void }>();

  /**
   * @param target gRPC's name of the server: `host:port`, `dns:///host:port`, `unix:/path`
   * @throws {@link TypeError} when the token cannot be sent
   */
  constructor(target = "127.0.0.1:50051", options: ClientOptions = {}) {
    if (options.token !== undefined && !/^[\x21-\x7e]+( [\x21-\x7e]+)*$/.test(options.token)) {
      throw new TypeError("the token is empty or not printable ASCII; allowed is one line of it");
    }
    this.#options = options;
    this.stub = new ChatServiceClient(target, channelCredentials(options.tls), {
      ...channelOptions(),
      ...nameOptions(options.tls),
      ...options.channelOptions,
    });
  }

  /** Asks, and waits for the whole answer; rejects with {@link HeadgateError}. */
  async chat(request: ChatRequestInit, options: CallOptions = {}): Promise<ChatResponse> {
    const message = requestOf(request);
    return new Promise((resolve, reject) => {
      const call = this.stub.chat(
        message,
        this.#metadata(options),
        this.#deadline(options),
        (error, response) => {
          if (error) reject(new HeadgateError(error, { cause: options.signal?.reason ?? error }));
          else resolve(response);
        },
      );
      this.#watch(call, call, options);
    });
  }

  /** Asks, and gives the answer while it is made; iterating throws {@link HeadgateError}. */
  streamChat(request: ChatRequestInit, options: CallOptions = {}): ChatStream {
    const call = this.stub.streamChat(
      requestOf(request),
      this.#metadata(options),
      this.#deadline(options),
    );
    const stream = new ChatStream(call);
    this.#watch(call, stream, options);
    return stream;
  }

  /** Cancels every running call and closes the channel, for good. */
  close(): void {
    for (const call of this.#running) call.cancel();
    this.stub.close();
  }

  #metadata(options: CallOptions): Metadata {
    const metadata = new Metadata();
    if (this.#options.token !== undefined) {
      metadata.set("authorization", `Bearer ${this.#options.token}`);
    }
    for (const given of [this.#options.metadata, options.metadata]) {
      for (const [name, value] of Object.entries(given ?? {})) {
        metadata.set(name, typeof value === "string" ? value : Buffer.from(value));
      }
    }
    return metadata;
  }

  #deadline(options: CallOptions): { deadline?: number } {
    const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs ?? Infinity;
    if (Number.isNaN(timeoutMs))
      throw new RangeError("timeoutMs is NaN; allowed is a number of milliseconds");
    return timeoutMs === Infinity ? {} : { deadline: Date.now() + timeoutMs };
  }

  #watch(
    call: { once(event: "status", listener: (ended: StatusObject) => void): unknown },
    cancellable: { cancel(reason?: unknown): void },
    { signal, onTrailers }: CallOptions,
  ): void {
    const abort = () => cancellable.cancel(signal?.reason);
    this.#running.add(cancellable);
    signal?.addEventListener("abort", abort, { once: true });
    call.once("status", ({ metadata }) => {
      this.#running.delete(cancellable);
      signal?.removeEventListener("abort", abort);
      onTrailers?.(metadata);
    });
    if (signal?.aborted) abort();
  }
}

/** The text of an answer's first choice. */
export function text(response: ChatResponse): string {
  return response.choices[0]?.message?.content ?? "";
}

/** The options that every channel of this package is opened with; gRPC's own names, ms and bytes. */
export function channelOptions(): ChannelOptions {
  return {
    ...channelDefaults,
    "grpc.primary_user_agent": `headgate-client-typescript/${VERSION}`,
    "grpc.service_config": JSON.stringify(serviceConfig),
  };
}

function requestOf(request: ChatRequestInit): ChatRequest {
  if (typeof request !== "string") return ChatRequest.fromPartial(request);
  return ChatRequest.fromPartial({ messages: [{ role: Role.USER, content: request }] });
}

function channelCredentials(tls: boolean | Tls = false) {
  if (tls === false) return credentials.createInsecure();
  const { ca, key, cert } = tls === true ? ({} as Tls) : tls;
  return credentials.createSsl(pem(ca), pem(key), pem(cert));
}

function pem(value: string | Uint8Array | undefined): Buffer | null {
  return value === undefined ? null : Buffer.from(value);
}

function nameOptions(tls: boolean | Tls = false): ChannelOptions {
  if (typeof tls === "boolean" || tls.serverName === undefined) return {};
  return {
    "grpc.ssl_target_name_override": tls.serverName,
    "grpc.default_authority": tls.serverName,
  };
}
