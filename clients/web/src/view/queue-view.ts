// The place in line, while a call waits for its slot.
import type { Place } from "../answer.js";
import { placeText } from "../text.js";
import { element, setText } from "./dom.js";

const MOST_DOTS = 12;

export class QueueView {
  readonly root = element("div", { class: "queue" });
  #number = element("span", { class: "number" });
  #words = element("span", { class: "words" });
  #wait = element("span", { class: "soft wait" });
  #line = element("span", { class: "line", "aria-hidden": "true" });

  constructor() {
    this.root.append(this.#number, this.#words, this.#wait, this.#line);
  }

  show(place: Place, now: number): void {
    setText(this.#number, String(place.position));
    setText(this.#words, place.position === 1 ? "Next in line" : "Your place in line");
    setText(this.#wait, placeText(place, now));
    this.#draw(place.position);
  }

  /** One dot for each call up to this one, the gate at the left. */
  #draw(position: number): void {
    const dots = Math.min(position, MOST_DOTS);
    this.#line.classList.toggle("more", position > MOST_DOTS);
    while (this.#line.childElementCount > dots) this.#line.firstElementChild?.remove();
    while (this.#line.childElementCount < dots) this.#line.prepend(element("i"));
  }
}
