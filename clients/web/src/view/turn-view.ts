// One question and its answer, drawn as it grows.
import { type Answer, isOver } from "../answer.js";
import { type Block } from "../blocks.js";
import type { Turn } from "../conversation.js";
import { endText, facts } from "../text.js";
import type { Remedy } from "../wording.js";
import { element, setText } from "./dom.js";
import { QueueView } from "./queue-view.js";
import { RefusalView } from "./refusal-view.js";

export class TurnView {
  readonly root: HTMLElement;
  #act: (remedy: Remedy) => void;
  #state = element("p", { class: "state" });
  #queue = new QueueView();
  #thoughts = element("pre", { class: "thoughts", tabindex: "0", "aria-label": "Thoughts" });
  #thinking = element("details", {}, element("summary", {}, "Thoughts"), this.#thoughts);
  #text = element("div", { class: "text", dir: "auto" });
  #end = element("div", { class: "end" });
  #answer = element("div", { class: "answer" });
  #refusal: RefusalView | undefined;
  #drawn: Block[] = [];

  /** @param act what the button of a refusal, or of a stopped answer, does. */
  constructor({ question }: Turn, act: (remedy: Remedy) => void) {
    this.#act = act;
    this.#answer.append(
      element("h3", { class: "unseen" }, "Answer"),
      ...[this.#state, this.#queue.root, this.#thinking, this.#text, this.#end],
    );
    this.root = element(
      "li",
      { class: "turn" },
      element("h3", { class: "unseen" }, "You asked"),
      element("p", { class: "asked", dir: "auto" }, question),
      this.#answer,
    );
  }

  /** Draws the answer as it is now. */
  show(answer: Answer, blocks: Block[], now: number): void {
    this.#answer.dataset["phase"] = answer.phase;
    this.#state.hidden = answer.phase !== "asked";
    setText(this.#state, "Asking");
    this.#queue.root.hidden = answer.phase !== "waiting";
    if (answer.place) this.#queue.show(answer.place, now);
    this.#thinking.hidden = answer.thoughts === "";
    setText(this.#thoughts, answer.thoughts);
    this.#write(blocks);
    if (isOver(answer)) this.#close(answer, now);
    else this.#end.replaceChildren();
  }

  /** Lets clocks run; gives whether any still does. */
  tick(answer: Answer, now: number): boolean {
    if (answer.phase === "waiting" && answer.place) this.#queue.show(answer.place, now);
    return this.#refusal?.tick(now) ?? false;
  }

  /** The conversation has gone on: what could be done here cannot be done any more. */
  settle(): void {
    this.#refusal?.settle();
    this.#end.querySelector("button")?.remove();
  }

  #write(blocks: Block[]): void {
    while (this.#text.childElementCount > blocks.length) this.#text.lastElementChild?.remove();
    blocks.forEach((block, index) => {
      if (block.html === this.#drawn[index]?.html && this.#text.children[index]) return;
      const drawn = this.#text.children[index] ?? this.#text.appendChild(element("div"));
      drawn.innerHTML = block.html;
    });
    this.#drawn = blocks;
  }

  #close(answer: Answer, now: number): void {
    this.#refusal = answer.refusal && new RefusalView(answer.refusal, now, this.#act);
    const note = endText(answer);
    const parts: Node[] = [];
    if (note) parts.push(element("p", { class: "note" }, note));
    if (this.#refusal) parts.push(this.#refusal.root);
    if (answer.phase === "stopped") parts.push(this.#askAgain());
    const known = facts(answer);
    if (known.length > 0) {
      parts.push(
        element("p", { class: "facts" }, ...known.map((fact) => element("span", {}, fact))),
      );
    }
    this.#end.replaceChildren(...parts);
  }

  #askAgain(): Node {
    const button = element("button", { type: "button" }, "Ask again");
    button.addEventListener("click", () => this.#act("retry"));
    return button;
  }
}
