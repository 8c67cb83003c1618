import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";

import { status } from "@grpc/grpc-js";
import {
  type CallOptions,
  type ChatRequest,
  type ChatStream,
  ChatResponse,
  ChatServiceService,
  type HeadgateClient,
  HeadgateError,
  Role,
  StreamChatResponse,
  ToolChoiceMode,
  duration,
  milliseconds,
  text,
} from "headgate-client";

import { collected, delta, ended, event, promised, withGateway } from "./gateway.js";

const FINISHED = event({ $case: "finished", value: { usage: { totalTokens: 3 } } });

test("a stream is its events in order, and remembers the telling ones", async () => {
  const sent = [
    event({ $case: "queued", value: { position: 2, estimatedWait: duration(750) } }),
    event({ $case: "started", value: { id: "1", createTime: new Date(1_000) } }),
    delta("He", 1),
    event({ $case: "heartbeat", value: {} }),
    delta("llo", 4),
    FINISHED,
  ];
  await withGateway(
    {
      streamChat: (call) => {
        for (const each of sent) call.write(each);
        call.end();
      },
    },
    async (client) => {
      const stream = client.streamChat("Hello");
      const events = await collected(stream);
      assert.deepEqual(
        events,
        sent.map(({ event: each }) => each),
      );
      assert.equal(stream.position, 4);
      assert.equal(stream.queued?.estimatedWait && milliseconds(stream.queued.estimatedWait), 750);
      assert.deepEqual(stream.started?.createTime, new Date(1_000));
      assert.equal(stream.finished?.usage?.totalTokens, 3);
      assert.equal(stream.finished?.usage?.cachedTokens, undefined);
      assert.deepEqual(await collected(stream), []);
    },
  );
});

test("the text is that of the first choice, and nothing else", async () => {
  const sent = [
    event({ $case: "delta", value: { reasoningContent: "hm", position: 1 } }),
    delta("He", 2),
    event({ $case: "delta", value: { choiceIndex: 1, content: "Bye", position: 3 } }),
    delta("llo", 4),
    FINISHED,
  ];
  await withGateway(
    {
      streamChat: (call) => {
        for (const each of sent) call.write(each);
        call.end();
      },
      chat: (_, answer) =>
        answer(null, ChatResponse.fromPartial({ choices: [{ message: { content: "Hi" } }] })),
    },
    async (client) => {
      assert.deepEqual(await collected(client.streamChat("Hello").text()), ["He", "llo"]);
      assert.equal(text(await client.chat("Hello")), "Hi");
      assert.equal(text(ChatResponse.create()), "");
    },
  );
});

test("an event that the stub does not know is passed over", async () => {
  // Field 15 of StreamChatResponse, a message: what a later version may add.
  const unknown = Buffer.from("7a020801", "hex");
  await withGateway(
    {
      streamChat: (call) => {
        call.write(unknown as never);
        for (const known of [delta("a", 1), FINISHED])
          call.write(Buffer.from(StreamChatResponse.encode(known).finish()) as never);
        call.end();
      },
    },
    async (client) => {
      assert.deepEqual(await collected(client.streamChat("Hello").text()), ["a"]);
    },
    {},
    undefined,
    { ...ChatServiceService.streamChat, responseSerialize: (bytes: unknown) => bytes as Buffer },
  );
});

test("a stream that ends well without its finished event is no whole answer", async () => {
  await withGateway(
    {
      streamChat: (call) => {
        call.write(delta("half", 1));
        call.end();
      },
    },
    async (client) => {
      const stream = client.streamChat("Hello");
      await assert.rejects(collected(stream.text()), (error: HeadgateError) => {
        assert.equal(error.code, status.INTERNAL);
        assert.equal(error.positionSent, 1);
        return true;
      });
    },
  );
});

test("unset is not zero, and numbers keep their full range", async () => {
  const requests: ChatRequest[] = [];
  await withGateway(
    {
      chat: (call, answer) => {
        requests.push(call.request);
        answer(null, ChatResponse.create());
      },
    },
    async (client) => {
      await client.chat("Hello");
      await client.chat({
        messages: [{ role: Role.USER, parts: [{ part: { $case: "text", value: "Hello" } }] }],
        temperature: 0,
        parallelToolCalls: false,
        seed: -(2n ** 63n),
        toolChoice: { choice: { $case: "mode", value: ToolChoiceMode.NONE } },
        scheduling: { maxQueueWait: duration(0) },
        labels: { team: "blue" },
        extra: { top_k: 40, nested: [null, true, { a: "b" }] },
      });
    },
  );
  const [plain, full] = requests;
  assert.deepEqual(
    plain?.messages.map(({ role, content }) => [role, content]),
    [[Role.USER, "Hello"]],
  );
  for (const field of [
    "temperature",
    "parallelToolCalls",
    "seed",
    "scheduling",
    "extra",
  ] as const) {
    assert.equal(plain[field], undefined);
  }
  assert.equal(full?.temperature, 0);
  assert.equal(full.parallelToolCalls, false);
  assert.equal(full.seed, -(2n ** 63n));
  assert.deepEqual(full.toolChoice, { choice: { $case: "mode", value: ToolChoiceMode.NONE } });
  assert.deepEqual(full.scheduling?.maxQueueWait, { seconds: 0n, nanos: 0 });
  assert.deepEqual(full.extra, { top_k: 40, nested: [null, true, { a: "b" }] });
});

test("a request that cannot be built is refused here", async () => {
  let calls = 0;
  await withGateway({ chat: () => (calls += 1) }, async (client) => {
    await assert.rejects(client.chat({ seed: 1.5 }), RangeError);
    await assert.rejects(client.chat("Hello", { timeoutMs: NaN }), RangeError);
    await assert.rejects(client.chat({ maxTokens: 1.5 }), { code: status.INTERNAL });
  });
  assert.equal(calls, 0);
});

test("durations keep nanoseconds, both signs and large values", () => {
  for (const ms of [0, 0.5, 1, 999.999999, 1000, 61_250.125, -1500, 1e12]) {
    assert.equal(milliseconds(duration(ms)), ms);
  }
  assert.deepEqual(duration(-1500), { seconds: -1n, nanos: -500_000_000 });
});

/** Ways in which a caller stops an answer that has begun. */
const STOPS: Record<
  string,
  (stream: ChatStream, aborter: AbortController, client: HeadgateClient) => void
> = {
  "its AbortSignal": (_, aborter) => aborter.abort(),
  "cancel()": (stream) => stream.cancel(),
  "close()": (_, __, client) => client.close(),
};

for (const [way, stop] of Object.entries(STOPS)) {
  test(`${way} reaches the gateway, and reading throws CANCELLED at once`, async () => {
    const cancelled = promised<void>();
    await withGateway(
      {
        streamChat: (call) => {
          call.on("cancelled", () => cancelled.keep());
          for (let position = 1; position <= 8; position += 1) call.write(delta("a", position));
        },
      },
      async (client) => {
        const aborter = new AbortController();
        const stream = client.streamChat("Hello", { signal: aborter.signal });
        const pieces: string[] = [];
        const reading = async () => {
          for await (const piece of stream.text()) {
            pieces.push(piece);
            if (pieces.length === 2) stop(stream, aborter, client);
          }
        };
        await assert.rejects(reading, { code: status.CANCELLED, reason: "" });
        assert.equal(pieces.length, 2);
        await cancelled.promise;
        await assert.rejects(collected(stream), { code: status.CANCELLED });
        assert.equal(getEventListeners(aborter.signal, "abort").length, 0);
      },
    );
  });
}

test("leaving the loop reaches the gateway, and throws nothing", async () => {
  const cancelled = promised<void>();
  await withGateway(
    {
      streamChat: (call) => {
        call.on("cancelled", () => cancelled.keep());
        call.write(delta("a", 1));
        call.write(delta("b", 2));
      },
    },
    async (client) => {
      for await (const piece of client.streamChat("Hello").text()) {
        assert.equal(piece, "a");
        break;
      }
      await cancelled.promise;
    },
  );
});

test("aborting cancels a chat, and the error's cause is the signal's reason", async () => {
  const cancelled = promised<void>();
  const arrived = promised<void>();
  await withGateway(
    {
      chat: (call) => {
        call.on("cancelled", () => cancelled.keep());
        arrived.keep();
      },
    },
    async (client) => {
      const aborter = new AbortController();
      const asked = client.chat("Hello", { signal: aborter.signal });
      await arrived.promise;
      const reason = new Error("no longer needed");
      aborter.abort(reason);
      await assert.rejects(asked, { name: "HeadgateError", code: status.CANCELLED, cause: reason });
      await cancelled.promise;
    },
  );
});

test("with a signal that is aborted already the gateway hears of nothing", async () => {
  let calls = 0;
  const count = () => (calls += 1);
  await withGateway({ chat: count, streamChat: count }, async (client) => {
    const options: CallOptions = { signal: AbortSignal.abort() };
    await assert.rejects(client.chat("Hello", options), { code: status.CANCELLED });
    await assert.rejects(collected(client.streamChat("Hello", options)), {
      code: status.CANCELLED,
    });
  });
  assert.equal(calls, 0);
});

test("the deadline ends a stream, and the gateway knows it", async () => {
  const deadline = promised<unknown>();
  await withGateway({ streamChat: (call) => deadline.keep(call.getDeadline()) }, async (client) => {
    const before = Date.now();
    const reading = collected(client.streamChat("Hello", { timeoutMs: 200 }));
    await assert.rejects(reading, { code: status.DEADLINE_EXCEEDED });
    assert.ok(Number(await deadline.promise) >= before);
  });
});

test("an error that comes before anybody reads is told when somebody does", async () => {
  const over = promised<void>();
  const failure = ended(status.NOT_FOUND, "no such model", {});
  await withGateway({ streamChat: (call) => call.emit("error", failure) }, async (client) => {
    const stream = client.streamChat("Hello", { onTrailers: () => over.keep() });
    await over.promise;
    await assert.rejects(collected(stream), { code: status.NOT_FOUND });
  });
});

test("the trailers of a call that ends well can be had too", async () => {
  await withGateway(
    {
      chat: (_, answer) =>
        answer(null, ChatResponse.create(), ended(0, "", { "x-request-id": "42" }).metadata),
    },
    async (client) => {
      const seen: unknown[] = [];
      await client.chat("Hello", { onTrailers: (came) => seen.push(came.get("x-request-id")) });
      assert.deepEqual(seen, [["42"]]);
    },
  );
});

test("a closed client makes no calls", async () => {
  await withGateway({}, async (client) => {
    client.close();
    client.close();
    await assert.rejects(client.chat("Hello"), (error) => !(error instanceof HeadgateError));
  });
});
