// Asks a node of a development chain. POQ_URL: its address. RESULT: file for what was asked and came out, which the caller compares.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { answer, ask, best, bill, connect, estimate, follow, models, read, Refused, terms, type Message } from "proof-of-quality";
import { devAccount } from "proof-of-quality/dev";

const { api, close } = await connect(process.env["POQ_URL"] ?? assert.fail("POQ_URL is not set"));
after(close);
const { address, signer } = devAccount("//Bob");
const question: Message[] = [
  { role: "system", content: "Answer in one sentence." },
  { role: "user", content: "What is the capital of Peru?" },
];

test("an estimate costs nothing and refuses as the chain would", async () => {
  const { terms: wanted, inference, scoring, fee } = await estimate(api, address, question);
  assert.equal(wanted.budget, inference + scoring + fee);
  const dearer = await estimate(api, address, question, { maxTokens: 128, responders: 1, committee: 3, budget: 7n, temperature: 0.5, seed: 3 });
  assert.deepEqual(dearer.terms.sampling, { max_tokens: 128, temperature_milli: 500, seed: 3 });
  assert.equal(dearer.terms.budget, 7n);

  const generators = (await models(api)).filter(({ kind }) => kind.type === "Generator");
  const of = (model: string) => terms(api, address, question, { models: [model], responders: 1 });
  const name = new TextDecoder().decode(generators[0]!.name);
  assert.deepEqual((await of(name)).generators, [generators[0]!.id]);
  assert.deepEqual((await of(generators[0]!.id)).generators, [generators[0]!.id]);
  const refusals: [() => Promise<unknown>, RegExp][] = [
    [() => terms(api, address, " "), /^EmptyPrompt: /],
    [() => terms(api, address, "x".repeat(8_193)), /^PromptTooLong: /],
    [() => terms(api, address, question, { responders: 9 }), /^InvalidResponders: /],
    [() => terms(api, address, question, { minQuality: 2 }), /from 0 to 1/],
    [() => of("nobody's"), /nobody serves a generator "nobody's"/],
  ];
  for (const [refused, why] of refusals) await assert.rejects(refused, (error) => error instanceof Refused && why.test(error.message));
});

test("a conversation is answered, in one call and in four", async () => {
  const phases: string[] = [];
  const found = await answer(api, signer, question, { responders: 2, committee: 5 }, ({ type }) => phases.push(type));
  assert.equal(phases.at(-1), "Settled");
  assert.match(found.answer ?? "", /Lima/);
  assert.equal(found.bill.fee! + found.bill.refund! + found.bill.paid.reduce((sum, { amount }) => sum + amount, 0n), found.bill.budget);

  const asked = await ask(api, signer, "What is the capital of Peru?", await terms(api, address, "What is the capital of Peru?"));
  const request = await follow(api, asked.id);
  assert.deepEqual(best(await read(api, asked.id) ?? assert.fail("it is there")), best(request));
  assert.equal(bill(request).budget, bill(await read(api, asked.id) ?? assert.fail("it is there")).budget);
  assert.equal(await read(api, 999n), undefined);
  await assert.rejects(follow(api, 999n), /the chain has no request 999/);
  writeFileSync(process.env["RESULT"] ?? "/dev/null", JSON.stringify({ request: Number(found.id), answer: found.answer, quality: found.quality, by: found.by }));
});

test("a node that does not answer is an error", async () => {
  await assert.rejects(connect("ws://127.0.0.1:1"), /no node answers at ws:\/\/127.0.0.1:1/);
  await assert.rejects(connect("127.0.0.1:9944"), /is not the URL of a node/);
});
