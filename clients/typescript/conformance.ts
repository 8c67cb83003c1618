// The conformance program: tests/conformance/README.md says what it reads and prints.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

import {
  type CallOptions,
  type ChatEvent,
  ChatRequest,
  ChatResponse,
  type ClientOptions,
  HeadgateClient,
  HeadgateError,
  type Metadata,
  StreamChatResponse,
  type Tls,
  status,
} from "headgate-client";

/** A line of the input. */
interface Call {
  name: string;
  method: "Chat" | "StreamChat";
  request: string;
  fill?: number;
  metadata?: Record<string, string>;
  timeout_ms?: number;
  cancel?: { deltas?: number; queued?: number; ms?: number };
  count?: number;
  helper?: boolean;
  pause_ms?: number;
}

/** What one call's messages said, as far as they came. */
class Seen {
  readonly events: [string, number][] = [];
  readonly text: Record<string, string> = {};
  readonly messages: string[] = [];
  readonly counts: Record<string, number> = {};

  event(event: ChatEvent): void {
    const name = event.$case;
    const last = this.events.at(-1);
    if (last?.[0] === name) last[1] += 1;
    else this.events.push([name, 1]);
    this.counts[name] = (this.counts[name] ?? 0) + 1;
    if (event.$case === "delta") this.append(event.value.choiceIndex, event.value.content);
    this.messages.push(base64(StreamChatResponse.encode({ event }).finish()));
  }

  response(response: ChatResponse): void {
    for (const { index, message } of response.choices) this.append(index, message?.content ?? "");
    this.messages.push(base64(ChatResponse.encode(response).finish()));
  }

  append(index: number, piece: string): void {
    if (piece === "") return;
    this.text[index] = (this.text[index] ?? "") + piece;
  }
}

async function answer(client: HeadgateClient, call: Call): Promise<object> {
  const request = filled(call);
  const calls = Array.from({ length: call.count ?? 1 }, () => made(client, call, request));
  return { name: call.name, calls: await Promise.all(calls) };
}

async function made(client: HeadgateClient, call: Call, request: ChatRequest): Promise<object> {
  const seen = new Seen();
  let trailers: Metadata | undefined;
  let failure: HeadgateError | undefined;
  const aborter = new AbortController();
  const options: CallOptions = { signal: aborter.signal, onTrailers: (came) => (trailers = came) };
  if (call.metadata !== undefined) options.metadata = call.metadata;
  if (call.timeout_ms !== undefined) options.timeoutMs = call.timeout_ms;
  const start = performance.now();
  const timer =
    call.cancel?.ms === undefined ? undefined : setTimeout(() => aborter.abort(), call.cancel.ms);
  try {
    if (call.method === "Chat") seen.response(await client.chat(request, options));
    else await read(client, call, request, options, aborter, seen);
  } catch (error) {
    if (!(error instanceof HeadgateError)) throw error;
    failure = error;
  } finally {
    clearTimeout(timer);
  }
  return {
    code: failure ? status[failure.code] : "OK",
    message: failure?.details ?? "",
    reason: failure?.reason ?? "",
    retry_delay_ms: failure?.retryAfterMs ?? null,
    metadata: failure?.metadata ?? {},
    violations: failure?.violations.map(({ field, description }) => [field, description]) ?? [],
    trailers: shown(trailers),
    events: seen.events,
    text: seen.text,
    messages: seen.messages,
    elapsed_ms: Math.round(performance.now() - start),
  };
}

async function read(
  client: HeadgateClient,
  call: Call,
  request: ChatRequest,
  options: CallOptions,
  aborter: AbortController,
  seen: Seen,
): Promise<void> {
  const stream = client.streamChat(request, options);
  const { deltas, queued } = call.cancel ?? {};
  if (call.helper) {
    let pieces = 0;
    for await (const piece of stream.text()) {
      seen.append(0, piece);
      if (++pieces === deltas) aborter.abort();
    }
    return;
  }
  let pauses = call.pause_ms === undefined ? 0 : 1;
  for await (const event of stream) {
    seen.event(event);
    if (pauses-- > 0) await new Promise((resolve) => setTimeout(resolve, call.pause_ms));
    if (event.$case === "delta" && seen.counts["delta"] === deltas) aborter.abort();
    if (event.$case === "queued" && seen.counts["queued"] === queued) aborter.abort();
  }
}

function filled({ request, fill }: Call): ChatRequest {
  const message = ChatRequest.decode(Buffer.from(request, "base64"));
  const last = message.messages.at(-1);
  if (fill !== undefined && last) last.content = "a".repeat(fill);
  return message;
}

function shown(trailers: Metadata | undefined): Record<string, string> {
  const pairs = Object.entries(trailers?.getMap() ?? {});
  return Object.fromEntries(
    pairs
      .filter(([name]) => /^(headgate-.*|x-request-id|grpc-retry-pushback-ms)$/.test(name))
      .map(([name, value]) => [name, value.toString()]),
  );
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

function opened(): HeadgateClient {
  const text = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    options: { ca: text, cert: text, key: text, token: text, authority: text },
    allowPositionals: true,
  });
  const options: ClientOptions = {};
  if (values.token !== undefined) options.token = values.token;
  if (values.ca !== undefined) {
    const tls: Tls = { ca: readFileSync(values.ca) };
    if (values.cert !== undefined) tls.cert = readFileSync(values.cert);
    if (values.key !== undefined) tls.key = readFileSync(values.key);
    if (values.authority !== undefined) tls.serverName = values.authority;
    options.tls = tls;
  }
  return new HeadgateClient(positionals[0], options);
}

const client = opened();
for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim() === "") continue;
  const seen = await answer(client, JSON.parse(line) as Call);
  process.stdout.write(`${JSON.stringify(seen)}\n`);
}
client.close();
