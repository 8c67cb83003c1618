import type { Duration } from "./generated/google/protobuf/duration.js";

/** A Duration of so many milliseconds. */
export function duration(milliseconds: number): Duration {
  const nanos = BigInt(Math.round(milliseconds * 1e6));
  return { seconds: nanos / 1_000_000_000n, nanos: Number(nanos % 1_000_000_000n) };
}

/** A Duration in milliseconds. */
export function milliseconds({ seconds, nanos }: Duration): number {
  return Number(seconds) * 1000 + nanos / 1e6;
}
