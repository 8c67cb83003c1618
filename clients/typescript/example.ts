// Streams the answer to a prompt: npm run example -- "Tell me a story"
import { HeadgateClient, HeadgateError, Role, duration, milliseconds } from "headgate-client";

const prompt = process.argv[2] ?? "Hello!";
const client = new HeadgateClient(process.env["HEADGATE_TARGET"]);
const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());

const stream = client.streamChat(
  {
    messages: [{ role: Role.USER, content: prompt }],
    streamOptions: { queueUpdates: true, heartbeatInterval: duration(15_000) },
  },
  { timeoutMs: 60_000, signal: interrupted.signal },
);

try {
  for await (const event of stream) {
    switch (event.$case) {
      case "queued":
        console.error(`place ${event.value.position} in line`);
        break;
      case "delta":
        process.stdout.write(event.value.content);
        break;
      case "finished": {
        const wait = event.value.gateway?.queueWait;
        console.log(`\n${event.value.usage?.totalTokens ?? "?"} tokens`);
        if (wait) console.log(`waited ${milliseconds(wait)} ms for a slot`);
      }
    }
  }
} catch (error) {
  if (!(error instanceof HeadgateError)) throw error;
  const again = error.retryAfterMs === undefined ? "" : `; try again in ${error.retryAfterMs} ms`;
  console.error(`${error.message}${again}`);
  process.exitCode = 1;
} finally {
  client.close();
}
