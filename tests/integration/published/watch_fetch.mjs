// Loaded before a published snippet: tells on stderr what its requests were answered with.
const fetch = globalThis.fetch;

globalThis.fetch = async (...request) => {
  const response = await fetch(...request);
  const body = await response.clone().text();
  console.error(JSON.stringify({ status: response.status, body }));
  return response;
};
