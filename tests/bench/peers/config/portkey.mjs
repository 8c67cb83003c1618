// As npm installs it today, Portkey 1.15.2 answers 500 to every streamed call: it appends to the
// headers of fetch's response, which its HTTP server's own Response class leaves immutable. Loaded
// first, this makes them mutable.
const { fetch, Response } = globalThis;
globalThis.fetch = async (...request) => {
  const { body, status, headers } = await fetch(...request);
  return new Response(body, { status, headers });
};
