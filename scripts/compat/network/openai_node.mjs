// OpenAI's Node client against a gateway.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { answer, few, isSettled, key, model, patience, question, raised, run, url } from "./common.mjs";

// The client's own retries stay on: none may make a second order.
const client = (more = {}) => new OpenAI({ baseURL: url, apiKey: key, timeout: patience, ...more });
const messages = [{ role: "user", content: question }];
const usual = { model, messages, max_tokens: 32, temperature: 0, poq: few };

await run(
  {
    async models() {
      const models = new Map();
      for await (const one of client().models.list()) models.set(one.id, one);
      assert.ok(models.has("auto") && models.get(model).poq.operators.length > 0);
      assert.equal((await client().models.retrieve(model)).id, model);
    },
    async errors() {
      let error = await raised(() => client({ apiKey: "sk-wrong" }).models.list());
      assert.ok(error instanceof OpenAI.AuthenticationError && error.code === "invalid_api_key", error);
      error = await raised(() => client().chat.completions.create({ ...usual, model: "gpt-4o" }));
      assert.ok(error instanceof OpenAI.NotFoundError && error.code === "model_not_found", error);
      assert.equal(error.param, "model");
      error = await raised(() => client().chat.completions.create({ ...usual, n: 2, stream: true }));
      assert.ok(error instanceof OpenAI.BadRequestError && error.param === "n", error);
    },
    async "an answer, and the same again"() {
      const headers = { "Idempotency-Key": "an answer" };
      const ask = () => client().chat.completions.create(usual, { headers });
      const [first, second] = [await ask(), await ask()];
      assert.deepEqual(first, second);
      assert.match(first.choices[0].message.content, answer);
      assert.equal(first.choices[0].finish_reason, "stop");
      assert.equal(first._request_id, first.id);
      isSettled(first.poq);
    },
    async "a stream"() {
      const chunks = [];
      const asked = { ...usual, seed: 1, stream: true, stream_options: { include_usage: true } };
      for await (const chunk of await client().chat.completions.create(asked)) chunks.push(chunk);
      const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
      assert.match(text, answer);
      const last = chunks.at(-1);
      assert.ok(last.choices.length === 0 && last.usage.total_tokens > 0, JSON.stringify(last));
      isSettled(last.poq);
    },
    async "the client's own stream helper"() {
      const stream = client().chat.completions.stream({ ...usual, seed: 2 });
      assert.match(await stream.finalContent(), answer);
    },
    async "a client that gives up and asks again"() {
      const headers = { "Idempotency-Key": "given up" };
      const ask = (more) => client(more).chat.completions.create({ ...usual, seed: 3 }, { headers });
      const error = await raised(() => ask({ timeout: 2000, maxRetries: 1 }));
      assert.ok(error instanceof OpenAI.APIConnectionTimeoutError, error);
      assert.match((await ask()).choices[0].message.content, answer);
    },
    async "a timeout of the gateway"() {
      const ask = (stream) => client().chat.completions.create({ ...usual, seed: 4, stream, poq: { ...few, timeout: 1 } });
      const whole = await raised(() => ask(false));
      const streamed = await raised(async () => {
        for await (const _ of await ask(true));
      });
      for (const late of [whole, streamed]) {
        assert.ok(late instanceof OpenAI.APIError && late.code === "timeout", late);
        assert.equal(late.error.poq.state, "open");
      }
    },
  },
  6,
);
