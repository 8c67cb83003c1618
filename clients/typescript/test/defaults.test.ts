import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { status } from "@grpc/grpc-js";
import { HeadgateClient, VERSION, channelOptions } from "headgate-client";

import { ended, withGateway } from "./gateway.js";

const PACKAGE = new URL("../../", import.meta.url);
const PROTOS = new URL("../../protos/", PACKAGE);

function json(name: string, base: URL): Record<string, unknown> {
  return JSON.parse(readFileSync(new URL(name, base), "utf8")) as Record<string, unknown>;
}

test("the channel has exactly the defaults that all clients share", () => {
  const {
    "grpc.service_config": serviceConfig,
    "grpc.primary_user_agent": userAgent,
    ...rest
  } = channelOptions();
  assert.deepEqual(rest, json("channel_defaults.json", PROTOS));
  assert.deepEqual(JSON.parse(String(serviceConfig)), json("service_config.json", PROTOS));
  assert.equal(userAgent, `headgate-client-typescript/${json("package.json", PACKAGE)["version"]}`);
});

test("the gateway sees the user agent, the token and the metadata", async () => {
  const seen: Record<string, unknown>[] = [];
  await withGateway(
    {
      chat: (call, answer) => {
        seen.push(call.metadata.getMap());
        answer(null, { choices: [] } as never);
      },
    },
    async (client) => {
      await client.chat("Hello", { metadata: { "X-Team": "blue", "mark-bin": Buffer.of(0, 255) } });
    },
    { token: "secret", metadata: { "x-team": "red" } },
  );
  assert.match(
    String(seen[0]?.["user-agent"]),
    new RegExp(`^headgate-client-typescript/${VERSION} `),
  );
  assert.equal(seen[0]?.["authorization"], "Bearer secret");
  assert.equal(seen[0]?.["x-team"], "blue");
  assert.deepEqual(seen[0]?.["mark-bin"], Buffer.of(0, 255));
});

for (const [what, code, pushback, attempts] of [
  ["UNAVAILABLE is tried three times", status.UNAVAILABLE, "0", 3],
  ["a pushback of -1 ends the retries", status.UNAVAILABLE, "-1", 1],
  ["no other status is tried again", status.RESOURCE_EXHAUSTED, "0", 1],
] as const) {
  test(what, async () => {
    let count = 0;
    const failure = ended(code, "no", { "grpc-retry-pushback-ms": pushback });
    await withGateway(
      {
        streamChat: (call) => {
          count += 1;
          call.emit("error", failure);
        },
      },
      async (client) => {
        await assert.rejects(client.streamChat("Hello").text().next(), { code, details: "no" });
      },
    );
    assert.equal(count, attempts);
  });
}

test("a token that cannot be sent is refused before anything else", () => {
  for (const token of ["", "a\nb", "schlüssel", " a"]) {
    assert.throws(() => new HeadgateClient("127.0.0.1:1", { token }), TypeError);
  }
});
