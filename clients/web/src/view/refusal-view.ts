// A refused call: what it means, when to come again, and what to do.
import { Code } from "@connectrpc/connect";

import type { Refusal } from "../refusal.js";
import { span, spokenSpan } from "../text.js";
import { type Remedy, wording } from "../wording.js";
import { element, setText } from "./dom.js";

export class RefusalView {
  readonly root: HTMLElement;
  #again: string;
  #when = element("p", { class: "when", id: "when" });
  #button = element("button", { type: "button", class: "main", "aria-describedby": "when" });
  #remedy: Remedy;
  #dueAt: number;

  /**
   * @param now the clock's milliseconds, from which `retryAfterMs` counts.
   * @param act what the button does; not called before the time has come.
   */
  constructor(refusal: Refusal, now: number, act: (remedy: Remedy) => void) {
    const { title, meaning, remedy } = wording(refusal);
    const soon = remedy === "retry" && refusal.retryAfterMs !== undefined;
    this.#remedy = remedy;
    this.#dueAt = now + (refusal.retryAfterMs ?? 0);
    this.#again = remedy === "edit" ? "Change the question" : "Try again";
    this.root = element(
      "section",
      { class: soon ? "refusal soon" : "refusal", "aria-label": "The call was refused" },
      element("p", { class: "title" }, title),
      element("p", {}, meaning),
      ...said(refusal),
      element("div", { class: "row" }, this.#button, this.#when),
      details(refusal),
    );
    if (remedy === "none") this.#button.remove();
    this.#button.addEventListener("click", () => {
      if (this.#button.getAttribute("aria-disabled") !== "true") act(remedy);
    });
    setText(this.#button, this.#again);
    this.tick(now);
  }

  /** Counts down; gives whether there is more to count. */
  tick(now: number): boolean {
    const left = this.#remedy === "retry" ? this.#dueAt - now : 0;
    // Not `disabled`: that would take the focus from somebody who waits on it.
    this.#button.setAttribute("aria-disabled", String(left > 0));
    setText(this.#when, left > 0 ? `in ${span(left)}` : "");
    return left > 0;
  }

  /** Takes the button away: the conversation has gone on. */
  settle(): void {
    this.#button.parentElement?.remove();
  }
}

/** What is read aloud at once. */
export function spokenRefusal(refusal: Refusal): string {
  const { title, meaning, remedy } = wording(refusal);
  const when = remedy === "retry" ? refusal.retryAfterMs : undefined;
  const again = when ? ` You can try again in ${spokenSpan(when)}.` : "";
  return `${title}. ${meaning}${again}`;
}

function said({ message, violations }: Refusal): HTMLElement[] {
  if (violations.length > 0) {
    const rows = violations.map(({ field, description }) =>
      element("li", {}, element("code", {}, field), ` ${description}`),
    );
    return [element("ul", { class: "said" }, ...rows)];
  }
  return message ? [element("p", { class: "said", dir: "auto" }, message)] : [];
}

function details({ reason, code, requestId }: Refusal): HTMLElement {
  const facts = [reason || Code[code] || "", requestId && `request ${requestId}`];
  const tags = facts.filter(Boolean).map((fact) => element("span", {}, fact));
  return element("p", { class: "facts" }, ...tags);
}
