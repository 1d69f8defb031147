// What the programs in JavaScript have in common. Environment: POQ_GATEWAY (address of a gateway, with /v1), POQ_KEY (an API key of its own).

import assert from "node:assert/strict";

export const url = process.env.POQ_GATEWAY;
export const key = process.env.POQ_KEY;
export const model = "poq-demo-strong";
export const question = "What is the capital of Peru?";
export const answer = /Lima/;
// Few operators for each question: a network on one machine has little to spare.
export const few = { responders: 1, committee: 3 };
// Milliseconds for one answer of the network.
export const patience = 900_000;

export function isSettled(poq) {
  assert.equal(poq.state, "settled");
  assert.equal(poq.receipt, `/v1/receipts/${poq.request}`);
  assert.ok(poq.quality > 0 && poq.quality <= 1 && poq.responders.length === 1, JSON.stringify(poq));
}

export async function raised(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  assert.fail("nothing was raised");
}

// Runs the checks at the same time. `questions` is the number of requests that the key has then paid for.
export async function run(checks, questions) {
  const results = await Promise.allSettled(Object.values(checks).map((check) => check()));
  let failed = 0;
  for (const [index, name] of Object.keys(checks).entries()) {
    const { status, reason } = results[index];
    console.log(`${status === "fulfilled" ? "ok    " : "FAILED"}  ${name}`);
    if (status === "rejected") {
      failed += 1;
      console.error(reason);
    }
  }
  const listed = await fetch(`${url}/requests?limit=100`, { headers: { authorization: `Bearer ${key}` } });
  const orders = (await listed.json()).data;
  if (orders?.length !== questions) {
    failed += 1;
    console.log(`FAILED  the key has ${orders?.length} orders, and ${questions} questions were asked`);
  }
  console.log(`${failed ? "FAILED" : "passed"}: ${results.length} checks, ${orders?.length} questions`);
  process.exit(failed ? 1 : 0);
}
