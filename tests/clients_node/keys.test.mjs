// A gateway with API keys: each client sends its key in a way that is understood, and is refused without one.
import assert from "node:assert/strict";
import { test } from "node:test";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embed } from "ai";
import { CohereClientV2 } from "cohere-ai";
import OpenAI from "openai";

import { model, url } from "./answers.mjs";

const key = process.env.GATEWAY_KEY;
const calls = {
  openai: (apiKey) =>
    new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 }).embeddings.create({ model, input: "x" }),
  "AI SDK": (apiKey) =>
    embed({
      model: createOpenAICompatible({ name: "gateway", baseURL: `${url}/v1`, apiKey }).embeddingModel(model),
      value: "x",
      maxRetries: 0,
    }),
  "cohere-ai": (token) =>
    new CohereClientV2({ baseUrl: url, token, maxRetries: 0 }).embed({
      model,
      texts: ["x"],
      inputType: "search_query",
      embeddingTypes: ["float"],
    }),
};

for (const [name, call] of Object.entries(calls)) {
  test(`${name}: the key is accepted, and another one is a 401`, async () => {
    assert.ok(await call(key));
    await assert.rejects(call("wrong"), (error) => (error.status ?? error.statusCode) === 401);
  });
}
