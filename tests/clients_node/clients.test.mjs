// Clients of other services, configured with this gateway's address and nothing else.
import assert from "node:assert/strict";
import { test } from "node:test";

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embed, embedMany } from "ai";
import { CohereClientV2, CohereError } from "cohere-ai";
import OpenAI from "openai";

import { DOCUMENTS, QUERY, assertSame, decode, model, recorder, texts, url, vectors } from "./answers.mjs";

const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const cohere = new CohereClientV2({ baseUrl: url, token: "none", maxRetries: 0 });
const provider = createOpenAICompatible({ name: "gateway", baseURL: `${url}/v1` });

test("openai: vectors are those of sentence-transformers, as base64 and as floats", async () => {
  const byDefault = await openai.embeddings.create({ model, input: texts });
  const asFloats = await openai.embeddings.create({ model, input: texts, encoding_format: "float" });
  const asText = await openai.embeddings.create({ model, input: texts, encoding_format: "base64" });

  assertSame(byDefault.data.map(({ embedding }) => embedding));
  assertSame(asFloats.data.map(({ embedding }) => embedding));
  assertSame(asText.data.map(({ embedding }) => decode(embedding)));
  assert.deepEqual(byDefault.data.map(({ index }) => index), texts.map((_, at) => at));
});

test("openai: errors are the client's own, with message, param and code", async () => {
  await assert.rejects(openai.embeddings.create({ model: "text-embedding-ada-002", input: "x" }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.match(error.message, /all-MiniLM-L6-v2/);
    return true;
  });
  await assert.rejects(openai.embeddings.create({ model, input: ["fine", " "] }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.deepEqual([error.code, error.param], ["empty_input", "input.1"]);
    return true;
  });
});

test("openai: models are listed, and many requests at once get their own answers", async () => {
  const ids = [];
  for await (const listed of openai.models.list()) ids.push(listed.id);
  const answers = await Promise.all(texts.map((input) => openai.embeddings.create({ model, input })));

  assert.ok(ids.includes(model));
  assertSame(answers.map(({ data }) => data[0].embedding));
});

test("AI SDK: embed and embedMany give the vectors, and the error of the gateway", async () => {
  const one = await embed({ model: provider.embeddingModel(model), value: texts[0], maxRetries: 0 });
  const many = await embedMany({ model: provider.embeddingModel(model), values: texts, maxRetries: 0 });

  assertSame([one.embedding], vectors.slice(0, 1));
  assertSame(many.embeddings);
  assert.ok(many.usage.tokens > 0);
  await assert.rejects(embed({ model: provider.embeddingModel("unknown"), value: "x", maxRetries: 0 }), (error) => {
    assert.ok(APICallError.isInstance(error));
    assert.equal(error.statusCode, 404);
    assert.match(error.message, /all-MiniLM-L6-v2/);
    return true;
  });
});

test("cohere-ai: vectors as floats and as base64", async () => {
  const answer = await cohere.embed({
    model,
    texts,
    inputType: "search_document",
    embeddingTypes: ["float", "base64"],
  });

  assertSame(answer.embeddings.float);
  assertSame(answer.embeddings.base64.map(decode));
});

test("cohere-ai: rerank puts the best document first, and top_n limits the list", async () => {
  const answer = await cohere.rerank({ model: "late-interaction", query: QUERY, documents: DOCUMENTS });
  const best = await cohere.rerank({ model: "late-interaction", query: QUERY, documents: DOCUMENTS, topN: 1 });

  assert.deepEqual(answer.results.map(({ index }) => index), [1, 2, 0]);
  assert.deepEqual(best.results.map(({ index }) => index), [1]);
});

test("cohere-ai: errors are the client's own", async () => {
  await assert.rejects(cohere.embed({ model: "embed-v4.0", texts: ["x"], inputType: "search_query" }), (error) => {
    assert.ok(error instanceof CohereError);
    assert.equal(error.statusCode, 404);
    assert.match(JSON.stringify(error.body), /all-MiniLM-L6-v2/);
    return true;
  });
});

test("fetch: a body that is streamed in pieces, and an answer that is read in pieces", async () => {
  const body = new TextEncoder().encode(JSON.stringify({ model, input: texts }));
  const middle = body.length >> 1;
  const pieces = new ReadableStream({
    async start(controller) {
      for (const piece of [body.slice(0, middle), body.slice(middle)]) {
        controller.enqueue(piece);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      controller.close();
    },
  });
  const headers = { "content-type": "application/json" };
  const response = await fetch(`${url}/v1/embeddings`, { method: "POST", headers, body: pieces, duplex: "half" });
  let text = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) text += piece;

  assert.equal(response.status, 200);
  assertSame(JSON.parse(text).data.map(({ embedding }) => embedding));
});

test("openai: a recorded request is sent once", async () => {
  const { answers, fetch: recorded } = recorder();
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", fetch: recorded });
  await client.embeddings.create({ model, input: texts[0] });

  assert.deepEqual(answers.map(({ status }) => status), [200]);
});
