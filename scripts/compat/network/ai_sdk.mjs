// Vercel's AI SDK, with its provider for servers of OpenAI's form, against a gateway.

import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, RetryError, streamText } from "ai";
import { answer, few, isSettled, key, model, patience, question, raised, run, url } from "./common.mjs";

const network = (apiKey = key) => createOpenAICompatible({ name: "network", baseURL: url, apiKey, includeUsage: true });
const usual = () => ({
  model: network()(model),
  system: "Answer in one sentence.",
  prompt: question,
  maxOutputTokens: 32,
  temperature: 0,
  // The provider puts what it does not know into the body.
  providerOptions: { network: { poq: few } },
  abortSignal: AbortSignal.timeout(patience),
});

await run(
  {
    async generateText() {
      const said = await generateText({ ...usual(), include: { responseBody: true } });
      assert.match(said.text, answer);
      assert.equal(said.finishReason, "stop");
      assert.ok(said.usage.totalTokens > 0);
      isSettled(said.response.body.poq);
    },
    async streamText() {
      const said = streamText({ ...usual(), seed: 1, includeRawChunks: true });
      const parts = [];
      for await (const part of said.fullStream) parts.push(part);
      assert.deepEqual(
        parts.filter((part) => part.type === "error"),
        [],
      );
      assert.match(await said.text, answer);
      assert.equal(await said.finishReason, "stop");
      assert.ok((await said.usage).totalTokens > 0);
      const raw = parts.filter((part) => part.type === "raw").map((part) => part.rawValue);
      isSettled(raw.at(-1).poq);
    },
    async errors() {
      let error = await raised(() => generateText({ ...usual(), model: network()("gpt-4o") }));
      assert.ok(APICallError.isInstance(error) && error.statusCode === 404 && !error.isRetryable, error);
      assert.match(error.message, /gpt-4o/);
      error = await raised(() => generateText({ ...usual(), model: network("sk-wrong")(model) }));
      assert.equal(error.statusCode, 401);
    },
    // It does not read x-should-retry: without the header, each of its retries would be another order.
    async "retries of a timeout are one order with Idempotency-Key"() {
      const headers = { "Idempotency-Key": "late" };
      const late = { network: { poq: { ...few, timeout: 1 } } };
      try {
        const said = await generateText({ ...usual(), seed: 2, headers, providerOptions: late });
        assert.match(said.text, answer);
      } catch (error) {
        assert.ok(RetryError.isInstance(error) && error.lastError.statusCode === 504, error);
      }
    },
  },
  3,
);
