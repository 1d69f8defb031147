// A receipt of a real chain, checked without its node, and tampered with.
//
// RECEIPT: file of the receipt; ANCHOR: genesis hash; ANSWER: the best answer; PROVEN: file with what `poq verify --json` says.
// SEED: seed of the changes (default: the clock), which a failure prints.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { answerOf, digest, Invalid, verify, type Proven } from "proof-of-quality";

const env = (name: string) => process.env[name] ?? assert.fail(`${name} is not set`);
const receipt = readFileSync(env("RECEIPT"), "utf8");
const anchor = env("ANCHOR");

/** Numbers from 0 to below `n`, the same for the same seed (xorshift). */
const seed = Number(process.env["SEED"] ?? Date.now()) >>> 0 || 1;
let state = seed;
function below(n: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % n;
}

/** The reason of the refusal; fails if there is none. */
async function refusal(changed: string | object, what: string): Promise<string> {
  try {
    await verify(changed, anchor);
  } catch (error) {
    assert.ok(error instanceof Invalid && error.message.length > 0, `${what}: ${error}`);
    return error.message;
  }
  assert.fail(`${what} was accepted; SEED=${seed}`);
}

test("a receipt proves what `poq verify` says", async () => {
  const proven = await verify(receipt, anchor);
  const { answer, ...said } = JSON.parse(readFileSync(env("PROVEN"), "utf8")) as Proven & { answer: unknown };
  assert.equal(answer, null);
  assert.deepEqual(proven, said);
  assert.deepEqual(await verify(JSON.parse(receipt), anchor), proven);
  assert.equal(await answerOf(proven, env("ANSWER")), proven.best);
  assert.equal(await answerOf(proven, "Paris"), undefined);
  assert.match(await digest("Lima"), /^0x[0-9a-f]{64}$/);
});

test("the reader says where a receipt begins", async () => {
  const other = `0x${"11".repeat(32)}`;
  await assert.rejects(verify(receipt, other), /not at the one that you trust/);
  for (const wrong of ["", "genesis", anchor.slice(2)]) await assert.rejects(verify(receipt, wrong), /the anchor is a block's hash/);
  await assert.rejects(verify("", anchor), /not a receipt/);
  await assert.rejects(verify({ ...JSON.parse(receipt), form: 2 }, anchor), /form 2/);
  await assert.rejects(verify({ ...JSON.parse(receipt), request: 99 }, anchor), Invalid);
});

test("every bit counts", async () => {
  const hex = [...receipt.matchAll(/(?<=0x)[0-9a-f]+/g)];
  for (let round = 0; round < 300; round += 1) {
    const { 0: digits, index } = hex[below(hex.length)]!;
    const at = index + below(digits.length);
    const digit = (parseInt(receipt[at]!, 16) ^ (1 << below(4))).toString(16);
    await refusal(receipt.slice(0, at) + digit + receipt.slice(at + 1), `hex digit ${at} as ${digit}`);
  }
});

test("every character is refused or says the same", async () => {
  const parsed = JSON.parse(receipt);
  const same = (text: string) => {
    try {
      assert.deepEqual(JSON.parse(text.replace(/[0-9A-F]+(?=[0-9a-f"])/g, (some) => some.toLowerCase())), parsed);
      return true;
    } catch {
      return false;
    }
  };
  for (let round = 0; round < 300; round += 1) {
    const at = below(receipt.length);
    const changed = receipt.slice(0, at) + String.fromCharCode(0x20 + below(0x5f)) + receipt.slice(at + 1);
    if (same(changed)) await verify(changed, anchor);
    else await refusal(changed, `character ${at} as ${changed[at]}`);
  }
});

test("no part can be left out or added", async () => {
  const parts = JSON.parse(receipt);
  for (const index of parts.state.keys()) {
    await refusal({ ...parts, state: parts.state.toSpliced(index, 1) }, `a receipt without node ${index}`);
  }
  assert.equal(await refusal({ ...parts, state: [...parts.state, "0x00"] }, "one node more"), "a proof has parts that prove nothing");
});
