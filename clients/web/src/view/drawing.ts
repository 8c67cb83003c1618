// One attempt at an answer, drawn and read aloud as it comes.
import { type Answer, isOver } from "../answer.js";
import { blocks } from "../blocks.js";
import type { Turn } from "../conversation.js";
import { Narration } from "../narration.js";
import type { Announcer } from "./announcer.js";
import { spokenRefusal } from "./refusal-view.js";
import { following } from "./scroll.js";
import type { TurnView } from "./turn-view.js";

const TICK_MS = 200;

/** Draws at most once a frame, and lets the clocks in the page run until they have run out. */
export class Drawing {
  #turn: Turn;
  #view: TurnView;
  #announcer: Announcer;
  #narration = new Narration();
  #frame = 0;
  #clock: ReturnType<typeof setInterval>;
  #counting = false;
  #closed = false;

  constructor(turn: Turn, view: TurnView, announcer: Announcer) {
    this.#turn = turn;
    this.#view = view;
    this.#announcer = announcer;
    this.#clock = setInterval(() => this.#tick(), TICK_MS);
  }

  /** Draws the answer with the next frame, or one that has come until then. */
  later(answer: Answer): void {
    this.#turn.answer = answer;
    this.#frame ||= requestAnimationFrame(() => this.show(this.#turn.answer));
  }

  /** Draws the answer now. */
  show(answer: Answer): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#turn.answer = answer;
    if (this.#closed) return;
    const now = performance.now();
    const drawn = blocks(answer.text);
    following(() => this.#view.show(answer, drawn, now));
    for (const sentence of this.#narration.next(answer, drawn, now)) this.#announcer.say(sentence);
    if (answer.refusal) this.#announcer.alert(spokenRefusal(answer.refusal));
  }

  /** The conversation has gone on: nothing more is drawn or said of this. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#clock);
  }

  #tick(): void {
    const counting = this.#view.tick(this.#turn.answer, performance.now());
    if (this.#counting && !counting) this.#announcer.say("You can try again now.");
    this.#counting = counting;
    if (!counting && isOver(this.#turn.answer)) clearInterval(this.#clock);
  }
}
