import assert from "node:assert/strict";
import { test } from "node:test";

import { AddressError, gatewayAddress } from "../src/address.js";

const page = (query: string) => new URL(`https://chat.example.org/chat/${query}`);

test("a page asks the gateway that it came from, unless its address names another", () => {
  assert.equal(gatewayAddress(page(""), undefined), "https://chat.example.org");
  assert.equal(gatewayAddress(page("?target="), ""), "https://chat.example.org");
  const other = page("?target=http://127.0.0.1:8080/");
  assert.equal(gatewayAddress(other, undefined), "http://127.0.0.1:8080");
  const below = page("?target=https://example.org/api/?x=1");
  assert.equal(gatewayAddress(below, undefined), "https://example.org/api");
});

test("a page that was built for one gateway cannot be sent to another by a link", () => {
  const built = "https://gate.example.org";
  assert.equal(gatewayAddress(page("?target=https://evil.example"), built), built);
});

test("an address that is none is named, with what one looks like", () => {
  for (const wrong of ["127.0.0.1:8080", "javascript:alert(1)", "ftp://a.example", "//"]) {
    assert.throws(
      () => gatewayAddress(page(`?target=${wrong}`), undefined),
      (error) => {
        assert(error instanceof AddressError);
        assert.match(error.message, /is no address of a gateway; it looks like http:/);
        assert(error.message.includes(wrong));
        return true;
      },
    );
  }
});
