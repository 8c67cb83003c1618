import assert from "node:assert/strict";
import { test } from "node:test";

import { Metadata, status } from "@grpc/grpc-js";
import { HeadgateError, duration } from "headgate-client";

import { BadRequest, ErrorInfo, RetryInfo } from "../src/generated/google/rpc/error_details.js";
import { Status } from "../src/generated/google/rpc/status.js";
import { delta, ended, withBreakable, withGateway } from "./gateway.js";

const PLAIN = { "headgate-reason": "QUEUE_FULL", "headgate-retry-after-ms": "1500" };

function rich(code: status, domain = "headgate"): Buffer {
  const any = (name: string, value: Uint8Array) => ({
    typeUrl: `type.googleapis.com/google.rpc.${name}`,
    value,
  });
  const info = { reason: "WAIT_TOO_LONG", domain, metadata: { phase: "queue" } };
  const wrong = { field: "messages", description: "is empty", reason: "" };
  const details = [
    any("ErrorInfo", ErrorInfo.encode(info).finish()),
    any("RetryInfo", RetryInfo.encode({ retryDelay: duration(2000.25) }).finish()),
    any("BadRequest", BadRequest.encode({ fieldViolations: [wrong] as never }).finish()),
    any("SomethingNew", Buffer.from("?")),
  ];
  return Buffer.from(Status.encode({ code, message: "no", details }).finish());
}

function error(trailers: Record<string, string | Buffer>): HeadgateError {
  return new HeadgateError(ended(status.RESOURCE_EXHAUSTED, "no", trailers));
}

test("the plain trailers are enough for reason and retry delay", () => {
  const { reason, retryAfterMs, message, metadata, violations } = error(PLAIN);
  assert.deepEqual(
    { reason, retryAfterMs, message, metadata, violations },
    {
      reason: "QUEUE_FULL",
      retryAfterMs: 1500,
      message: "no (QUEUE_FULL)",
      metadata: {},
      violations: [],
    },
  );
});

test("google.rpc details say more, and win", () => {
  const details = rich(status.RESOURCE_EXHAUSTED);
  const { reason, retryAfterMs, metadata, violations } = error({
    ...PLAIN,
    "grpc-status-details-bin": details,
  });
  assert.equal(reason, "WAIT_TOO_LONG");
  assert.equal(retryAfterMs, 2001);
  assert.deepEqual(metadata, { phase: "queue" });
  assert.deepEqual(violations, [{ field: "messages", description: "is empty" }]);
});

for (const [what, details] of [
  ["cut short", rich(status.RESOURCE_EXHAUSTED).subarray(0, -9)],
  ["of another status", rich(status.INTERNAL)],
  ["no protobuf", Buffer.from("nonsense")],
] as const) {
  test(`details that are ${what} leave the plain trailers standing`, () => {
    const { reason, retryAfterMs } = error({ ...PLAIN, "grpc-status-details-bin": details });
    assert.deepEqual({ reason, retryAfterMs }, { reason: "QUEUE_FULL", retryAfterMs: 1500 });
  });
}

test("a retry delay that is no count is none", () => {
  for (const value of ["", "1e3", "-1", "1.5", "9".repeat(16)]) {
    assert.equal(error({ "headgate-retry-after-ms": value }).retryAfterMs, undefined);
  }
});

test("the ErrorInfo of another domain is not ours", () => {
  const details = rich(status.RESOURCE_EXHAUSTED, "example.com");
  const { reason, metadata } = error({ "grpc-status-details-bin": details });
  assert.deepEqual({ reason, metadata }, { reason: "", metadata: {} });
});

test("without a reason the message names the code", () => {
  const { message } = new HeadgateError({
    code: status.NOT_FOUND,
    details: "",
    metadata: new Metadata(),
  });
  assert.equal(message, "no details (NOT_FOUND)");
});

test("an interrupted stream says how far it came, after all that had come", async () => {
  const failure = ended(status.ABORTED, "the upstream broke off", {
    "headgate-reason": "STREAM_INTERRUPTED",
  });
  await withGateway(
    {
      streamChat: (call) => {
        call.write(delta("a", 1));
        call.write(delta("b", 3));
        call.emit("error", failure);
      },
    },
    async (client) => {
      const pieces: string[] = [];
      const reading = async () => {
        for await (const piece of client.streamChat("Hello").text()) pieces.push(piece);
      };
      await assert.rejects(reading, { code: status.ABORTED, reason: "STREAM_INTERRUPTED" });
      assert.deepEqual(pieces, ["a", "b"]);
    },
  );
});

test("a connection that breaks after the first delta has interrupted the answer there", async () => {
  await withGateway({ streamChat: (call) => call.write(delta("a", 7)) }, async (_, port) => {
    await withBreakable(port, async (client, breakOff) => {
      const events = client.streamChat("Hello")[Symbol.asyncIterator]();
      await events.next();
      breakOff();
      await assert.rejects(events.next(), { reason: "", positionSent: 7 });
    });
  });
});

test("a refusal in trailers alone is a typed error of chat too", async () => {
  const failure = ended(status.RESOURCE_EXHAUSTED, "full", PLAIN);
  await withGateway({ chat: (_, answer) => answer(failure) }, async (client) => {
    await assert.rejects(client.chat("Hello"), (caught) => {
      assert.ok(caught instanceof HeadgateError);
      assert.equal(caught.reason, "QUEUE_FULL");
      assert.deepEqual(caught.trailers.get("headgate-retry-after-ms"), ["1500"]);
      return true;
    });
  });
});
