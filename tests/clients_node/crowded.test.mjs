// A gateway with a full queue: clients wait for Retry-After, send again, and get their vectors.
import assert from "node:assert/strict";
import { test } from "node:test";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany } from "ai";
import OpenAI from "openai";

import { model, recorder, url } from "./answers.mjs";

const CLIENTS = 6;
const TRIES = 60;
// 900 tokens: two of these do not fit into a queue of 1,000.
const input = ["word ".repeat(225), "word ".repeat(225), "word ".repeat(225), "word ".repeat(225)];

const senders = {
  openai: async (fetch) => {
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: TRIES, fetch });
    return (await client.embeddings.create({ model, input })).data.length;
  },
  "AI SDK": async (fetch) => {
    const provider = createOpenAICompatible({ name: "gateway", baseURL: `${url}/v1`, fetch });
    const answer = await embedMany({ model: provider.embeddingModel(model), values: input, maxRetries: TRIES });
    return answer.embeddings.length;
  },
};

for (const [name, send] of Object.entries(senders)) {
  test(`${name}: every client gets its vectors, and waits as long as it was told`, { timeout: 120_000 }, async () => {
    const records = Array.from({ length: CLIENTS }, recorder);
    const counts = await Promise.all(records.map(({ fetch }) => send(fetch)));

    assert.deepEqual(counts, Array(CLIENTS).fill(input.length));
    const refused = records.flatMap(({ answers }) => answers.filter(({ status }) => status === 429));
    assert.ok(refused.length, "the queue was never full");
    assert.ok(refused.every(({ retryAfterS }) => retryAfterS >= 1));
    for (const { answers } of records) {
      answers.slice(1).forEach((answer, at) => {
        const waitedS = (answer.sent - answers[at].sent) / 1_000;
        assert.ok(waitedS >= answers[at].retryAfterS, `waited ${waitedS} s, told ${answers[at].retryAfterS} s`);
      });
    }
  });
}
