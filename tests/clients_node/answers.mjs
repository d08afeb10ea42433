// The data and assertions that the tests of all clients share, and a fetch that counts requests and refusals.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export const url = process.env.GATEWAY_URL.replace(/\/$/, "");
export const QUERY = "How many vacation days do I get?";
export const DOCUMENTS = [
  "The parking policy is in section 5",
  "You get 20 vacation days per year",
  "You can request time off here",
];
const SAME = 0.99999;

const golden = JSON.parse(readFileSync(new URL("../contract/golden.json", import.meta.url), "utf-8"));
const cases = golden.cases
  .filter(({ tokens, options, text }) => tokens <= 64 && !Object.keys(options).length && text.trim())
  .slice(0, 20);
export const model = golden.model;
export const texts = cases.map(({ text }) => text);
export const vectors = cases.map(({ vector }) => decode(vector));

// Little-endian float32 in base64.
export function decode(text) {
  const bytes = Buffer.from(text, "base64");
  return Array.from({ length: bytes.length / 4 }, (_, at) => bytes.readFloatLE(4 * at));
}

function cosine(a, b) {
  const dot = (x, y) => x.reduce((sum, value, at) => sum + value * y[at], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

export function assertSame(actual, expected = vectors) {
  assert.equal(actual.length, expected.length);
  actual.forEach((vector, place) => {
    assert.equal(vector.length, expected[place].length);
    assert.ok(cosine(vector, expected[place]) >= SAME, `vector ${place}: cosine ${cosine(vector, expected[place])}`);
  });
}

// A fetch that records the status and the Retry-After of each answer, and the time between two requests.
export function recorder() {
  const answers = [];
  async function recorded(input, init) {
    const sent = performance.now();
    const response = await fetch(input, init);
    answers.push({ status: response.status, retryAfterS: Number(response.headers.get("retry-after")), sent });
    return response;
  }
  return { answers, fetch: recorded };
}
