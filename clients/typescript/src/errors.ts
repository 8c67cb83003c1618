import { type Metadata, status, type StatusObject } from "@grpc/grpc-js";

import { milliseconds } from "./duration.js";
import { BadRequest, ErrorInfo, RetryInfo } from "./generated/google/rpc/error_details.js";
import { Status } from "./generated/google/rpc/status.js";
import type { ErrorReason } from "./generated/headgate/v1/chat.js";

/** What gRPC says when a connection breaks under a stream. */
const BROKEN = new Set([status.UNAVAILABLE, status.INTERNAL, status.UNKNOWN]);

/** One wrong field of a request: its path in the contract, and what is allowed. */
export interface FieldViolation {
  field: string;
  description: string;
}

/** A name of ErrorReason, or a newer one; empty when the status was not made by the gateway. */
export type Reason = Exclude<keyof typeof ErrorReason, "UNSPECIFIED"> | "" | (string & {});

/** A call that did not end well. Its message is `details (REASON)`. */
export class HeadgateError extends Error {
  override readonly name = "HeadgateError";
  /** The gRPC status code; `status[error.code]` is its name. */
  readonly code: status;
  /** The status message: one line for a person. */
  readonly details: string;
  readonly reason: Reason;
  /** Whole milliseconds after which a new try makes sense. */
  readonly retryAfterMs: number | undefined;
  /** Further facts (google.rpc.ErrorInfo), short strings. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Every wrong field of the request (google.rpc.BadRequest). */
  readonly violations: readonly FieldViolation[];
  /** Set when the answer was cut after its first delta: how many upstream deltas had been sent. */
  readonly positionSent: number | undefined;
  /** The trailing metadata as it came. */
  readonly trailers: Metadata;

  /**
   * Facts come from google.rpc.Status (AIP-193) and, where that is missing or broken, from the
   * plain trailers `headgate-reason` and `headgate-retry-after-ms`.
   *
   * @param ended what grpc-js says of the call: its ServiceError, or a status
   * @param position how far the stream had come: a connection that breaks after the first delta
   *   has interrupted the answer, whoever made the status
   */
  constructor(
    ended: StatusObject,
    { position = 0, cause }: { position?: number; cause?: unknown } = {},
  ) {
    const facts = factsOf(ended);
    super(`${ended.details || "no details"} (${facts.reason || status[ended.code]})`, { cause });
    this.code = ended.code;
    this.details = ended.details;
    this.reason = facts.reason;
    this.retryAfterMs = facts.retryAfterMs;
    this.metadata = facts.metadata;
    this.violations = facts.violations;
    this.trailers = ended.metadata;
    const broken = position > 0 && !facts.reason && BROKEN.has(ended.code);
    this.positionSent = count(facts.metadata["position_sent"]) ?? (broken ? position : undefined);
  }
}

interface Facts {
  reason: string;
  retryAfterMs: number | undefined;
  metadata: Record<string, string>;
  violations: FieldViolation[];
}

function factsOf({ code, metadata }: StatusObject): Facts {
  const first = (name: string) => metadata.get(name)[0];
  const facts: Facts = {
    reason: String(first("headgate-reason") ?? ""),
    retryAfterMs: count(first("headgate-retry-after-ms")),
    metadata: {},
    violations: [],
  };
  const rich = first("grpc-status-details-bin");
  if (typeof rich !== "object") return facts;
  try {
    const said = Status.decode(rich);
    if (said.code === code)
      for (const { typeUrl, value } of said.details) readDetail(typeUrl, value, facts);
  } catch {
    // Not the gateway's own, or changed on the way: the plain trailers have to do.
  }
  return facts;
}

function readDetail(typeUrl: string, value: Uint8Array, facts: Facts): void {
  const type = typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
  if (type === "google.rpc.ErrorInfo") {
    const info = ErrorInfo.decode(value);
    if (info.domain === "headgate")
      Object.assign(facts, { reason: info.reason, metadata: info.metadata });
  } else if (type === "google.rpc.RetryInfo") {
    const { retryDelay } = RetryInfo.decode(value);
    if (retryDelay) facts.retryAfterMs = Math.ceil(milliseconds(retryDelay));
  } else if (type === "google.rpc.BadRequest") {
    for (const { field, description } of BadRequest.decode(value).fieldViolations) {
      facts.violations.push({ field, description });
    }
  }
}

function count(value: string | Buffer | undefined): number | undefined {
  return typeof value === "string" && /^[0-9]{1,15}$/.test(value) ? Number(value) : undefined;
}
