import assert from "node:assert/strict";
import { test } from "node:test";

import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";

import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../src/generated/google/rpc/error_details_pb.js";
import { ErrorReasonSchema } from "../src/generated/headgate/v1/chat_pb.js";
import { cutShort, refusalFrom } from "../src/refusal.js";
import { wording } from "../src/wording.js";

const retryIn = (ms: number) => ({
  desc: RetryInfoSchema,
  value: { retryDelay: durationFromMs(ms) },
});
const because = (reason: string, domain = "headgate") => ({
  desc: ErrorInfoSchema,
  value: { reason, domain },
});

test("the details say why and when", () => {
  const headers = { "x-request-id": "r-1, r-1", "headgate-retry-after-ms": "9" };
  const details = [because("OTHER", "elsewhere"), because("QUEUE_FULL"), retryIn(2_500)];
  const error = new ConnectError("no room", Code.ResourceExhausted, headers, details);
  assert.deepEqual(refusalFrom(error), {
    code: Code.ResourceExhausted,
    reason: "QUEUE_FULL",
    message: "no room",
    retryAfterMs: 2_500,
    violations: [],
    requestId: "r-1",
  });
});

test("the plain trailers say the same where the details are missing", () => {
  const headers = { "headgate-reason": "CALLER_LIMIT", "headgate-retry-after-ms": "750" };
  const { reason, retryAfterMs } = refusalFrom(new ConnectError("", Code.Aborted, headers));
  assert.deepEqual([reason, retryAfterMs], ["CALLER_LIMIT", 750]);
  const odd = new ConnectError("", Code.Aborted, { "headgate-retry-after-ms": "soon" });
  assert.equal(refusalFrom(odd).retryAfterMs, undefined);
});

test("every wrong field is named", () => {
  const fieldViolations = [
    { field: "temperature", description: "must be from 0 to 2" },
    { field: "messages[0].content", description: "must not be empty" },
  ];
  const details = [{ desc: BadRequestSchema, value: { fieldViolations } }];
  const error = new ConnectError("wrong", Code.InvalidArgument, undefined, details);
  assert.deepEqual(refusalFrom(error).violations, fieldViolations);
});

test("what is no status at all means that the gateway was not reached", () => {
  const refusal = refusalFrom(new TypeError("Failed to fetch"));
  assert.equal(refusal.code, Code.Unavailable);
  assert.equal(wording(refusal).title, "The gateway cannot be reached");
  assert.equal(wording(cutShort()).title, "The answer broke off");
});

test("there are words for every reason of the contract, and no two alike", () => {
  const reasons = ErrorReasonSchema.values
    .map(({ localName }) => localName)
    .filter((name) => name !== "UNSPECIFIED");
  const said = reasons.map((reason) => wording({ ...cutShort(), reason }).title);
  assert(reasons.includes("QUEUE_FULL"));
  assert.equal(new Set(said).size, reasons.length);
  assert(!said.includes(wording({ ...cutShort(), code: Code.Unknown }).title));
});
