// What to read aloud of an answer that grows: places in line now and then, paragraphs once whole.
import { type Answer, isOver } from "./answer.js";
import type { Block } from "./blocks.js";
import { endText, many, spokenSpan } from "./text.js";

/** Places change twice a second, and nobody wants to hear each. */
const PLACES_APART_MS = 5_000;

export class Narration {
  #read = 0; // blocks
  #position = 0;
  #nextPlaceAt = -Infinity;

  /** The sentences that are new since the last call. */
  next(answer: Answer, blocks: Block[], now: number): string[] {
    if (answer.phase === "waiting") return this.#place(answer, now);
    const whole = isOver(answer) ? blocks.length : blocks.length - 1;
    const news = blocks.slice(this.#read, Math.max(whole, this.#read)).map(({ spoken }) => spoken);
    this.#read += news.length;
    if (answer.phase === "finished") news.push(endText(answer) || "End of the answer.");
    if (answer.phase === "stopped") news.push(endText(answer));
    return news.filter((text) => text !== "");
  }

  #place({ place }: Answer, now: number): string[] {
    if (!place || place.position === this.#position || now < this.#nextPlaceAt) return [];
    this.#position = place.position;
    this.#nextPlaceAt = now + PLACES_APART_MS;
    const wait = place.dueAt === undefined ? undefined : place.dueAt - now;
    const ahead = many(place.position - 1, "call");
    const where = place.position === 1 ? "You are next in line." : `In line, ${ahead} before you.`;
    if (wait === undefined || wait <= 0) return [where];
    return [`${where} ${place.exact ? "" : "About "}${spokenSpan(wait)} to go.`];
  }
}
