// What is read aloud: whole paragraphs and turns of events, never single tokens.
import { element, setText } from "./dom.js";

const KEPT = 3; // a reader that walks the page should not meet everything twice

export class Announcer {
  #news: Element;
  #alarm: Element;

  constructor(news: Element, alarm: Element) {
    this.#news = news;
    this.#alarm = alarm;
  }

  /** After what is being read. */
  say(text: string): void {
    if (!text) return;
    this.#news.append(element("p", {}, text));
    while (this.#news.childElementCount > KEPT) this.#news.firstElementChild?.remove();
  }

  /** At once. */
  alert(text: string): void {
    setText(this.#alarm, "");
    setText(this.#alarm, text);
  }
}
