// Puts the page together.
import { AddressError, gatewayAddress } from "./address.js";
import { Chat } from "./chat.js";
import { Gateway } from "./gateway.js";
import { Announcer } from "./view/announcer.js";
import { Composer } from "./view/composer.js";
import { byId, element } from "./view/dom.js";
import { OptionsView } from "./view/options-view.js";

const IDEAS = [
  "What is a headgate?",
  "Explain gRPC-Web in three sentences",
  "Write a function that reverses a list, in Python",
];

function start(): void {
  const address = gatewayAddress(new URL(location.href), import.meta.env.VITE_HEADGATE_TARGET);
  byId("gateway", HTMLElement).textContent = `through ${address}`;
  const options = new OptionsView();
  const composer = new Composer(
    (question) => chat.ask(question),
    () => chat.stop(),
  );
  const chat = new Chat({
    gateway: new Gateway(address),
    announcer: new Announcer(byId("news", HTMLElement), byId("alarm", HTMLElement)),
    composer,
    turns: byId("turns", HTMLElement),
    welcome: byId("welcome", HTMLElement),
    options: () => options.options,
    token: () => options.token,
  });
  byId("new-chat", HTMLButtonElement).addEventListener("click", () => chat.clear());
  offer(IDEAS, (idea) => {
    composer.focus();
    chat.ask(idea);
  });
  composer.focus();
}

function offer(ideas: string[], ask: (idea: string) => void): void {
  for (const idea of ideas) {
    const button = element("button", { type: "button" }, idea);
    button.addEventListener("click", () => ask(idea));
    byId("ideas", HTMLElement).append(element("li", {}, button));
  }
}

try {
  start();
} catch (error) {
  if (!(error instanceof AddressError)) throw error;
  byId("alarm", HTMLElement).textContent = error.message;
  byId("gateway", HTMLElement).textContent = error.message;
  byId("send", HTMLButtonElement).disabled = true;
}
