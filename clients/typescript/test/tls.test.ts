import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { ServerCredentials, status } from "@grpc/grpc-js";
import { ChatResponse, type Tls } from "headgate-client";

import { type Handlers, withGateway } from "./gateway.js";

const NAME = "gateway.example";
const missing = spawnSync("openssl", ["version"]).error ? "openssl is not installed" : false;
const directory = mkdtempSync(join(tmpdir(), "headgate-"));
after(() => rmSync(directory, { recursive: true }));

function openssl(...parts: string[]): void {
  execFileSync("openssl", parts, { cwd: directory, stdio: "pipe" });
}

/** A key and a certificate that the authority `ca` has signed, for one day. */
function certificate(name: string): { cert: Buffer; key: Buffer } {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const files = ["-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`];
  openssl("req", ...key, ...files);
  writeFileSync(join(directory, "ext"), `subjectAltName=DNS:${name}`);
  const by = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1"];
  openssl("x509", "-req", "-in", `${name}.csr`, ...by, "-extfile", "ext", "-out", `${name}.crt`);
  return { cert: read(`${name}.crt`), key: read(`${name}.key`) };
}

function authority(): Buffer {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"];
  openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test");
  return read("ca.crt");
}

function read(name: string): Buffer {
  return readFileSync(join(directory, name));
}

test("TLS checks the server's name, and mTLS presents this side's", { skip: missing }, async () => {
  const ca = authority();
  const { cert: cert_chain, key: private_key } = certificate(NAME);
  const own = certificate("caller");
  const demanding = ServerCredentials.createSsl(ca, [{ cert_chain, private_key }], true);
  const hosts: string[] = [];
  const handlers: Handlers = {
    chat: (call, answer) => {
      hosts.push(call.getHost());
      answer(null, ChatResponse.create({ id: "1" }));
    },
  };
  const attempts: [Tls | boolean, boolean][] = [
    [{ ca, ...own, serverName: NAME }, true],
    [{ ca, serverName: NAME }, false], // no certificate of its own
    [{ ca, ...own, serverName: "other.example" }, false],
    [{ ...own, serverName: NAME }, false], // an authority that Node does not know
    [false, false],
  ];
  for (const [tls, welcome] of attempts) {
    await withGateway(
      handlers,
      async (client) => {
        const answer = client.chat("Hello", { timeoutMs: 5_000 });
        if (welcome) assert.equal((await answer).id, "1");
        else await assert.rejects(answer, { code: status.UNAVAILABLE });
      },
      { tls },
      demanding,
    );
  }
  assert.deepEqual(hosts, [NAME]);
});
