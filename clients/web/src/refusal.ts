// Why a call ended badly, from whatever the transport threw.
import { Code, ConnectError } from "@connectrpc/connect";
import { durationMs } from "@bufbuild/protobuf/wkt";

import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "./generated/google/rpc/error_details_pb.js";

/** A call that did not end well. */
export interface Refusal {
  /** The gRPC status. */
  code: Code;
  /** A name of `ErrorReason` without its prefix; empty where the gateway did not make the status. */
  reason: string;
  /** The gateway's own sentence. */
  message: string;
  /** When a new try makes sense, in milliseconds from now; undefined: nobody said. */
  retryAfterMs: number | undefined;
  /** Every wrong field of the request. */
  violations: { field: string; description: string }[];
  /** The id under which the gateway's log has the call; may be empty. */
  requestId: string;
}

/** Reads the google.rpc details, and the plain trailers where those are missing. */
export function refusalFrom(thrown: unknown): Refusal {
  const error = ConnectError.from(thrown, Code.Unavailable);
  const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === "headgate");
  return {
    code: error.code,
    reason: info?.reason ?? error.metadata.get("headgate-reason") ?? "",
    message: error.rawMessage,
    retryAfterMs: retryAfter(error),
    violations: error
      .findDetails(BadRequestSchema)
      .flatMap((bad) => bad.fieldViolations)
      .map(({ field, description }) => ({ field, description })),
    // Envoy says it in the header and the gateway in the trailer: the same, joined by a comma.
    requestId: error.metadata.get("x-request-id")?.split(",")[0] ?? "",
  };
}

/** A stream that ended as if it were whole, but without its last event. */
export function cutShort(): Refusal {
  return refusalFrom(new ConnectError("the stream ended without its last event", Code.DataLoss));
}

function retryAfter(error: ConnectError): number | undefined {
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  if (delay) return durationMs(delay);
  const plain = error.metadata.get("headgate-retry-after-ms");
  return plain !== null && /^\d+$/.test(plain) ? Number(plain) : undefined;
}
