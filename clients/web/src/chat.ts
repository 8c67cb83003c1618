// The conversation in the page: asks, draws what comes, stops, asks again.
import { type Answer, ASKED, heard, isOver, refused, stopped } from "./answer.js";
import { Conversation, type Options, type Turn, freshKey } from "./conversation.js";
import type { Gateway } from "./gateway.js";
import { cutShort, refusalFrom } from "./refusal.js";
import type { Announcer } from "./view/announcer.js";
import type { Composer } from "./view/composer.js";
import { Drawing } from "./view/drawing.js";
import { toEnd } from "./view/scroll.js";
import { TurnView } from "./view/turn-view.js";
import type { Remedy } from "./wording.js";

/** What the conversation needs of the page around it. */
export interface Around {
  gateway: Gateway;
  announcer: Announcer;
  composer: Composer;
  turns: Element;
  welcome: HTMLElement;
  options: () => Options;
  token: () => string;
}

export class Chat {
  #around: Around;
  #conversation = new Conversation();
  #running: AbortController | undefined;
  #latest: { turn: Turn; view: TurnView } | undefined;
  #drawing: Drawing | undefined;

  constructor(around: Around) {
    this.#around = around;
  }

  /** Asks a new question. */
  ask(question: string): void {
    const { turns, welcome, options } = this.#around;
    this.#latest?.view.settle();
    const turn = this.#conversation.ask(question, options(), freshKey());
    const view = new TurnView(turn, (remedy) => this.#remedy(remedy));
    this.#latest = { turn, view };
    welcome.hidden = true;
    turns.append(view.root);
    void this.#answer(turn, view);
    toEnd();
  }

  /** Ends the answer that is being given, if one is. */
  stop(): void {
    this.#running?.abort();
  }

  /** Forgets what was said. */
  clear(): void {
    this.#drawing?.close();
    this.stop();
    this.#running = undefined;
    this.#latest = undefined;
    this.#conversation = new Conversation();
    this.#around.turns.replaceChildren();
    this.#around.welcome.hidden = false;
    this.#around.composer.setBusy(false);
    this.#around.composer.focus();
    this.#around.announcer.say("A new chat.");
  }

  #remedy(remedy: Remedy): void {
    if (!this.#latest || this.#running) return;
    const { turn, view } = this.#latest;
    this.#around.composer.focus();
    if (remedy === "edit") this.#around.composer.edit(turn.question);
    else void this.#answer(turn, view);
  }

  /** Sends a turn's question and draws until its answer is over. */
  async #answer(turn: Turn, view: TurnView): Promise<void> {
    const { gateway, token, composer } = this.#around;
    const running = new AbortController();
    this.#drawing?.close();
    const drawing = new Drawing(turn, view, this.#around.announcer);
    this.#drawing = drawing;
    this.#running = running;
    composer.setBusy(true);
    drawing.show(ASKED);
    try {
      for await (const event of gateway.stream(turn.request, token(), running.signal)) {
        if (running.signal.aborted) break;
        drawing.later(heard(turn.answer, event, performance.now()));
      }
      drawing.show(isOver(turn.answer) ? turn.answer : broken(turn.answer, running.signal));
    } catch (error) {
      if (running.signal.aborted) drawing.show(stopped(turn.answer));
      else if (isOver(turn.answer)) drawing.show(turn.answer);
      else drawing.show(refused(turn.answer, refusalFrom(error)));
    }
    if (this.#running !== running) return; // another chat has begun
    this.#running = undefined;
    composer.setBusy(false);
  }
}

function broken(answer: Answer, { aborted }: AbortSignal): Answer {
  return aborted ? stopped(answer) : refused(answer, cutShort());
}
