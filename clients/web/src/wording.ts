// What a refused call means, in words for the person in front of the page.
import { Code } from "@connectrpc/connect";

import type { Refusal } from "./refusal.js";

/** What a person can do about it: send it again, change the question, or neither. */
export type Remedy = "retry" | "edit" | "none";

export interface Wording {
  title: string;
  meaning: string;
  remedy: Remedy;
}

const REASONS: Record<string, Wording> = {
  INVALID_REQUEST: {
    title: "Something in the question is not allowed",
    meaning: "Nothing was sent on. Change what is named below, and ask again.",
    remedy: "edit",
  },
  IDEMPOTENCY_MISMATCH: {
    title: "This question's key is already in use",
    meaning: "Another question was sent under the same key. Ask it as a new question.",
    remedy: "edit",
  },
  CALLER_LIMIT: {
    title: "You have used up your share for now",
    meaning: "The gateway gives each caller an allowance, and yours is empty.",
    remedy: "retry",
  },
  QUEUE_FULL: {
    title: "The line is full",
    meaning: "As many calls are waiting as the gateway has room for. Nothing was sent on.",
    remedy: "retry",
  },
  WAIT_TOO_LONG: {
    title: "The wait would be too long",
    meaning: "So many are in line that yours would come too late, so it did not join.",
    remedy: "retry",
  },
  UPSTREAM_LIMIT: {
    title: "The service behind the gateway asks for a pause",
    meaning: "It has had more than it takes, also after the gateway tried again.",
    remedy: "retry",
  },
  UPSTREAM_REJECTED: {
    title: "The service behind the gateway does not take this question",
    meaning: "Its own words are below. The same question will be refused again.",
    remedy: "edit",
  },
  UPSTREAM_NOT_FOUND: {
    title: "The service behind the gateway does not know what was asked for",
    meaning: "Mostly that is a model that it does not have. It is the operator's to put right.",
    remedy: "none",
  },
  UPSTREAM_CREDENTIALS: {
    title: "The gateway is not let in by the service behind it",
    meaning: "Its key or account was refused, not yours. It is the operator's to put right.",
    remedy: "none",
  },
  UPSTREAM_UNAVAILABLE: {
    title: "The service behind the gateway cannot be reached",
    meaning: "The gateway tried as often as it may, and no answer had begun.",
    remedy: "retry",
  },
  UPSTREAM_TIMEOUT: {
    title: "The service behind the gateway took too long",
    meaning: "No answer had begun when its time was up.",
    remedy: "retry",
  },
  UPSTREAM_PROTOCOL: {
    title: "What came back was no answer",
    meaning: "The service behind the gateway said something that cannot be understood.",
    remedy: "retry",
  },
  STREAM_INTERRUPTED: {
    title: "The answer broke off",
    meaning: "What stands above is its beginning. Trying again gives a new answer.",
    remedy: "retry",
  },
  DEADLINE: {
    title: "Time is up",
    meaning: "The answer was not finished within the time that this page allows.",
    remedy: "retry",
  },
  UNAUTHENTICATED: {
    title: "The gateway wants to know who you are",
    meaning: "Put an access token that counts into the options, and try again.",
    remedy: "retry",
  },
  PERMISSION_DENIED: {
    title: "You are not allowed to ask here",
    meaning: "The gateway knows you, but does not let you make this call.",
    remedy: "none",
  },
  DRAINING: {
    title: "The gateway is being restarted",
    meaning: "Another one, or the same one in a moment, takes your question.",
    remedy: "retry",
  },
  INTERNAL: {
    title: "The gateway made a mistake",
    meaning: "Its log has the details under the request id below.",
    remedy: "retry",
  },
};

// Where the status was not made by the gateway: a proxy, the network, or this page's own clock.
const CODES: Partial<Record<Code, Wording>> = {
  [Code.Unavailable]: {
    title: "The gateway cannot be reached",
    meaning: "It is not running, it is restarting, or it does not allow calls from this page.",
    remedy: "retry",
  },
  [Code.DeadlineExceeded]: REASONS["DEADLINE"]!,
  [Code.DataLoss]: REASONS["STREAM_INTERRUPTED"]!,
  [Code.Unauthenticated]: REASONS["UNAUTHENTICATED"]!,
  [Code.PermissionDenied]: REASONS["PERMISSION_DENIED"]!,
  [Code.ResourceExhausted]: {
    title: "That was too much at once",
    meaning: "The question is larger than the gateway takes, or something on the way is full.",
    remedy: "edit",
  },
};

const UNKNOWN: Wording = {
  title: "The call did not work",
  meaning: "What is known about it stands below.",
  remedy: "retry",
};

/** The words for a refusal; there are some for every reason, known or not. */
export function wording(refusal: Refusal): Wording {
  return REASONS[refusal.reason] ?? CODES[refusal.code] ?? UNKNOWN;
}
