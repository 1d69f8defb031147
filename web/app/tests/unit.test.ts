// Tests that need no browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { amount, exact, excerpt, parseAmount, part, percent, pieces, printable, shares, shortened, span } from "../src/lib/format.ts";
import { AccountId } from "polkadot-api";
import type { RequestInfo } from "proof-of-quality";
import { devAccount } from "proof-of-quality/dev";
import { developmentAccounts, developmentNames, OPERATORS, PEOPLE, uriOf } from "../src/lib/development.ts";
import { fromJson } from "../src/lib/history.ts";
import { closedAt, deadline, path, scoresOf } from "../src/lib/request.ts";
import { compact, hex, readCompact, unhex } from "../src/lib/scale.ts";
import { readFileSync, readdirSync } from "node:fs";

test("amounts are exact, and short ones never show something as nothing", () => {
  assert.equal(exact(0n), "0 POQ");
  assert.equal(exact(385_714_285_715n), "0.385714285715 POQ");
  assert.equal(exact(1_234_567n * 10n ** 12n), "1,234,567 POQ");
  assert.equal(amount(385_714_285_715n), "0.385714 POQ");
  assert.equal(amount(999_999n), "0.000000999999 POQ");
  assert.equal(amount(1n), "0.000000000001 POQ");
});

test("an amount is read as it is written", () => {
  for (const [text, units] of [["1", 10n ** 12n], ["0.5", 5n * 10n ** 11n], ["1.234 POQ", 1_234n * 10n ** 9n], [" 2. ", 2n * 10n ** 12n]] as const) {
    assert.equal(parseAmount(text), units, text);
  }
  for (const bad of ["", "-1", "1,5", "1e3", "0.0000000000001", "POQ", "1 2"]) assert.equal(parseAmount(bad), undefined, bad);
});

test("parts, shares and times are for people", () => {
  assert.equal(part(984_969), "0.985");
  assert.equal(percent(33_000), "3.3%");
  assert.deepEqual(shares([1n, 3n]), [250_000, 750_000]);
  assert.equal(shares([0n]), undefined);
  assert.deepEqual([span(2_000), span(120_000), span(7_200_000), span(86_400_000 * 3)], ["2 s", "2 min", "2 h", "3 days"]);
  assert.equal(shortened("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"), "5Grwva…KutQY");
});

test("lengths are SCALE", () => {
  const cases = [[0, "0x00"], [63, "0xfc"], [64, "0x0101"], [16_383, "0xfdff"], [16_384, "0x02000100"], [2 ** 30 - 1, "0xfeffffff"]] as const;
  for (const [number, bytes] of cases) {
    assert.equal(hex(compact(number)), bytes);
    assert.deepEqual(readCompact(unhex(`0xff${bytes.slice(2)}`), 1), { length: number, at: 1 + (bytes.length - 2) / 2 });
  }
  assert.equal(hex(compact(2 ** 30)), "0x0300000040");
  assert.throws(() => readCompact(unhex("0x0200"), 0));
});

const work = (type: string) => ({ type }) as RequestInfo["responses"][number]["work"];

function request(phase: object, parts: Partial<RequestInfo> = {}): RequestInfo {
  const response = { operator: "a", work: work("Revealed") } as RequestInfo["responses"][number];
  return { phase, responses: [{ ...response, work: work("NotRevealed") }, response], committees: [[]], ...parts } as RequestInfo;
}

test("a refund comes after the phase in which the request failed", () => {
  const refunded = (type: string, parts?: Partial<RequestInfo>) =>
    path(request({ type: "Refunded", value: { at: 9, reason: { type } } }, parts)).at(-2);
  assert.equal(path(request({ type: "Scoring", value: { until: 9 } })).at(-1), "Settled");
  assert.deepEqual(["NoInferenceNode", "NoCommitment", "NoOutput", "NoCommittee", "NoQuorum"].map((reason) => refunded(reason)), [
    "Requested",
    "Answering",
    "RevealingAnswers",
    "Selecting",
    "RevealingScores",
  ]);
  assert.deepEqual([refunded("Busy"), refunded("Busy", { responses: [] })], ["Selecting", "Requested"]);
});

test("scores belong to the answers that were revealed", () => {
  const member = { operator: "b", scores: [900_000] } as unknown as RequestInfo["committees"][number][number];
  const settled = request({ type: "Settled", value: { at: 9, best: 1 } }, { committees: [[], [member]] });
  assert.deepEqual(scoresOf(settled, 0), []);
  assert.deepEqual(scoresOf(settled, 1), [{ operator: "b", score: 900_000 }]);
  assert.deepEqual([closedAt(settled), deadline(settled)], [9, undefined]);
  assert.equal(deadline(request({ type: "Scoring", value: { until: 7 } })), 7);
});

test("development accounts are those of their keys", () => {
  for (const [name, address] of Object.entries(PEOPLE)) assert.equal(devAccount(uriOf.person(name)).address, address);
  for (const [index, address] of OPERATORS.entries()) assert.equal(devAccount(uriOf.operator(index)).address, address);
  assert.equal(developmentNames().size, 13);
  for (const { address, signer } of developmentAccounts()) assert.equal(AccountId().dec(signer.publicKey), address);
});

test("characters that nobody sees appear as their numbers", () => {
  assert.equal(printable("a\u202eb\u0007c\u200b"), "a<U+202E>b<U+0007>c<U+200B>");
  assert.equal(printable("line\n\tof ü, ä, ا, 漢"), "line\n\tof ü, ä, ا, 漢");
  assert.deepEqual(pieces("a\u202eb"), [
    { text: "a", isHidden: false },
    { text: "U+202E", isHidden: true },
    { text: "b", isHidden: false },
  ]);
  assert.equal(excerpt("  two\nlines  that are long", 10), "two lines…");
});

test("the rule for characters is that of the examples", () => {
  const rule = /replace\((\/.*\/gu),/;
  const example = readFileSync(new URL(process.env["EXAMPLE"] ?? "../../../examples/dapp/printable.ts", import.meta.url), "utf8");
  const own = readFileSync(new URL("../src/lib/format.ts", import.meta.url), "utf8");
  const [, wanted] = rule.exec(example) ?? [];
  assert.ok(wanted && own.includes(`const HIDDEN = ${wanted};`));
});

test("every text of the page is in the module of texts", () => {
  const folder = new URL("../src/", import.meta.url);
  for (const part of ["pages", "parts"]) {
    for (const file of readdirSync(new URL(`${part}/`, folder)).filter((file) => file.endsWith(".tsx"))) {
      const source = readFileSync(new URL(`${part}/${file}`, folder), "utf8");
      // Words between tags.
      const words = [...source.matchAll(/>\s*([A-Z][a-z]+ [a-z][^<{]*)</g)].map(([, text]) => text);
      assert.deepEqual(words, [], file);
    }
  }
});

test("a request of a history has the shape of the chain's", () => {
  const response = { operator: "a", model: "ab", output: null, latency: null, quality: null, paid: "0" };
  const request = fromJson({
    request: 7,
    state: "refunded",
    refund_reason: "NoOutput",
    requester: "r",
    prompt: "¿?",
    generators: [{ id: "ab", name: null }],
    evaluator: { id: "cd", name: null },
    sampling: { max_tokens: 1, temperature: 0.7, seed: 3 },
    responders: 2,
    committee_size: 1,
    min_quality: 0.35,
    responses: [
      { ...response, work: "not_revealed" },
      { ...response, work: "failed", failure: "InvalidJob" },
    ],
    committee: [{ operator: "c", round: 1, weight: 1, work: "not_committed", scores: [], latency: null, agreement: null, paid: "0" }],
    budget_parts: { inference: "1", scoring: "2", fee: "3" },
    bonus: "0",
    tries: 0,
    audited: false,
    blocks: { created: 4, since: 9, closed: 9 },
  });
  assert.deepEqual(request.phase, { type: "Refunded", value: { at: 9, reason: { type: "NoOutput", value: undefined } } });
  assert.deepEqual([request.min_quality, request.sampling.temperature_milli, request.generators], [350_000, 700, ["0xab"]]);
  assert.deepEqual(request.responses.map(({ work }) => [work.type, (work.value as { type: string } | undefined)?.type]), [
    ["NotRevealed", undefined],
    ["Failed", "InvalidJob"],
  ]);
  assert.deepEqual(request.committees.map((round) => round.length), [0, 1]);
  assert.equal(request.round, 1);
});
