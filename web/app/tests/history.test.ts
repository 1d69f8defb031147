// What the page shows of a history, with the page from the history's own server. cli/tests/it/web.rs starts it and runs this.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { createWsClient } from "polkadot-api/ws";
import { poq, read } from "proof-of-quality";
import { fromJson, history, summaries } from "../src/lib/history.ts";
import { check, launch, NODE, open, PAGE, shoot, until } from "./browser.ts";

let browser: Browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const kept = async (path: string) => (await (await fetch(`${PAGE}v1/${path}`)).json()) as Record<string, any>;

/** For comparison. Weights are larger than JSON's readers keep. */
const plain = (value: unknown) =>
  JSON.stringify(value, (key, part) =>
    key === "weight" ? undefined : typeof part === "bigint" ? String(part) : part instanceof Uint8Array ? Buffer.from(part).toString("hex") : part,
  );

test("a request that is kept is the one that the chain had", async () => {
  await until(async () => (await kept("status"))["behind"] === 0, "the history is up to date");
  const { data } = await kept("requests?limit=100");
  const over = (data as Record<string, any>[]).filter(({ state }) => state !== "requested");
  assert.ok(over.length > 1, `${over.length}`);
  const client = createWsClient(NODE);
  try {
    const api = client.getTypedApi(poq);
    for (const { request } of over) {
      const known = await read(api, BigInt(request));
      assert.equal(plain(fromJson(await kept(`requests/${request}`))), plain(known), `request ${request}`);
    }
  } finally {
    client.destroy();
  }
});

test("older requests are found by state and requester", async () => {
  history.value = `${PAGE}v1/`;
  const all = await summaries(undefined, 100);
  const [newest] = all;
  assert.ok(newest && all.length > 1);
  assert.deepEqual(await summaries(BigInt(newest.request), 100), all.slice(1));
  const { state, requester } = all.at(-1)!;
  const some = await summaries(undefined, 100, { state, requester });
  assert.deepEqual(some, all.filter((one) => one.state === state && one.requester === requester));
  assert.deepEqual(await summaries(undefined, 100, { requester: PAGE }), []);
});

test("models are ranked, and an operator's days are told", async () => {
  const { page, done } = await open(browser, "#/models");
  await page.getByRole("heading", { name: /^Ranking/ }).waitFor();
  const ranking = page.getByRole("region", { name: /^Table: Ranking: / }).first();
  await ranking.getByRole("rowheader", { name: "poq-demo-strong" }).waitFor();
  await page.getByText(/a rank can be bought for that/).waitFor();
  assert.deepEqual(await check(page), []);
  await shoot(page, "ranking");
  await page.getByRole("link", { name: "operator-0" }).first().click();
  await page.getByRole("heading", { name: "Day by day" }).waitFor();
  const days = page.getByRole("region", { name: "Table: Day by day" });
  await days.getByRole("rowheader", { name: /^\d{4}-\d\d-\d\d$/ }).first().waitFor();
  assert.deepEqual(await check(page), []);
  await shoot(page, "days");
  await done();
});
