// One call with OpenAI's JavaScript SDK; prints what came as one line of JSON.
//
//     node openai_sdk.mjs FOLDER BASE_URL STREAM REQUEST
//
// FOLDER holds the SDK, STREAM is true or false, REQUEST the rest of the request as JSON.
import { createRequire } from "node:module";

const [folder, baseURL, stream, request] = process.argv.slice(2);
const { OpenAI } = createRequire(`${folder}/`)("openai");
const client = new OpenAI({ baseURL, apiKey: "none" });

async function call() {
  const body = { ...JSON.parse(request), stream: stream === "true" };
  const answer = await client.chat.completions.create(body);
  return stream === "true" ? read(answer) : { answer };
}

async function read(answer) {
  const chunks = [];
  try {
    for await (const chunk of answer) chunks.push(chunk);
    return { chunks };
  } catch (error) {
    return { chunks, ...told(error) };
  }
}

function told(error) {
  return { error: error.constructor.name, status: error.status, code: error.code, message: error.message };
}

console.log(JSON.stringify(await call().catch(told)));
