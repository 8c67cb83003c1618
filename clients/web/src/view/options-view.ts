// The options: a system prompt, a temperature, an access token.
import type { Options } from "../conversation.js";
import { byId, setText } from "./dom.js";

export class OptionsView {
  #button = byId("options-button", HTMLButtonElement);
  #panel = byId("options", HTMLElement);
  #form = byId("options-form", HTMLFormElement);
  #systemPrompt = byId("system-prompt", HTMLTextAreaElement);
  #temperature = byId("temperature", HTMLInputElement);
  #temperatureValue = byId("temperature-value", HTMLOutputElement);
  #temperatureDefault = byId("temperature-default", HTMLInputElement);
  #token = byId("token", HTMLInputElement);

  constructor() {
    this.#button.addEventListener("click", () => this.#toggle());
    this.#form.addEventListener("submit", (event) => event.preventDefault()); // they hold at once
    this.#temperature.addEventListener("input", () => this.#showTemperature());
    this.#temperatureDefault.addEventListener("change", () => this.#showTemperature());
    this.#showTemperature();
  }

  get options(): Options {
    const own = !this.#temperatureDefault.checked;
    return {
      systemPrompt: this.#systemPrompt.value.trim(),
      temperature: own ? this.#temperature.valueAsNumber : undefined,
    };
  }

  get token(): string {
    return this.#token.value.trim();
  }

  #toggle(): void {
    this.#panel.hidden = !this.#panel.hidden;
    this.#button.setAttribute("aria-expanded", String(!this.#panel.hidden));
    if (!this.#panel.hidden) scrollTo({ top: 0 }); // the bar above it stays in view, the panel not
  }

  #showTemperature(): void {
    const own = !this.#temperatureDefault.checked;
    this.#temperature.disabled = !own;
    const value = this.#temperature.valueAsNumber.toFixed(1);
    setText(this.#temperatureValue, own ? value : "–");
    this.#temperature.setAttribute("aria-valuetext", value);
  }
}
