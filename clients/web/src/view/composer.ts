// Where a question is written, sent, and its answer stopped.
import { byId } from "./dom.js";

export class Composer {
  #form = byId("composer", HTMLFormElement);
  #question = byId("question", HTMLTextAreaElement);
  #send = byId("send", HTMLButtonElement);
  #stop = byId("stop", HTMLButtonElement);

  /**
   * @param send is given a question that is not empty, while none is being answered.
   * @param stop ends the answer that is being given.
   */
  constructor(send: (question: string) => void, stop: () => void) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(send);
    });
    this.#question.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit(send);
    });
    this.#stop.addEventListener("click", stop);
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.isComposing && this.#busy) stop();
    });
  }

  get #busy(): boolean {
    return !this.#stop.hidden;
  }

  /** Shows the button that is of use now; a focus on the other one goes to the question. */
  setBusy(busy: boolean): void {
    const leaving = busy ? this.#send : this.#stop;
    if (document.activeElement === leaving) this.focus();
    this.#stop.hidden = !busy;
    this.#send.hidden = busy;
  }

  focus(): void {
    this.#question.focus({ preventScroll: true });
  }

  /** Puts a question back, to be changed. */
  edit(question: string): void {
    this.#question.value = question;
    this.focus();
  }

  #submit(send: (question: string) => void): void {
    const question = this.#question.value.trim();
    if (this.#busy || !question) {
      this.focus();
      return;
    }
    this.#question.value = "";
    send(question);
  }
}
