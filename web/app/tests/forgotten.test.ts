// What the chain has forgotten and a history keeps: 10,000 requests. cli/tests/it/web.rs starts a node and a history with requests 0 to 9,999,
// and runs this.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser, Page } from "playwright-core";
import { getTypedCodecs, type Transaction } from "polkadot-api";
import { createWsClient } from "polkadot-api/ws";
import { poq } from "proof-of-quality";
import { devAccount } from "proof-of-quality/dev";
import { unhex } from "../src/lib/scale.ts";
import { check, launch, many, NODE, open, PAGE, shoot, until } from "./browser.ts";
import { ask, see, settled } from "./steps.ts";

const KEPT = 10_000;
/** One of so many requests of the history is refunded, the last. */
const REFUNDED = 21;
/** Most elements of a page with a list, however long that is. */
const MOST_ELEMENTS = 2_500;

const client = createWsClient(NODE);
const api = client.getTypedApi(poq);
const alice = devAccount("//Alice");
let browser: Browser;

before(async () => {
  browser = await launch();
  // As if the chain had seen the history's requests and forgotten them.
  const next = api.query.ProofOfQuality.NextRequest;
  const { value } = (await getTypedCodecs(poq)).query.ProofOfQuality.NextRequest;
  await asRoot(api.tx.System.set_storage({ items: [[unhex(await next.getKey()), value.enc(BigInt(KEPT))]] }));
  assert.equal(await next.getValue({ at: "best" }), BigInt(KEPT));
});
after(async () => {
  client.destroy();
  await browser.close();
});

/** Waits until a transaction of Alice is in a best block, and has done what it should. */
async function sent(transaction: Transaction): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // One follows the other before that is final.
  const { nonce } = await api.query.System.Account.getValue(alice.address, { at: "best" });
  const subscription = transaction.signSubmitAndWatch(alice.signer, { nonce }).subscribe({
    next: (event) => {
      if (event.type !== "txBestBlocksState" || !event.found) return;
      const failed = event.events.find(({ type, value }) => type === "Sudo" && value.type === "Sudid" && !(value.value as any).sudo_result.success);
      if (event.ok && !failed) resolve();
      else reject(new Error(JSON.stringify(failed ?? event.dispatchError)));
    },
    error: reject,
  });
  await promise.finally(() => subscription.unsubscribe());
}

const asRoot = (transaction: Transaction) => sent(api.tx.Sudo.sudo({ call: transaction.decodedCall as never }));

/** Lets a request be due at once whose time ends tomorrow. The chain then forgets it as any other. */
async function forget(id: bigint) {
  const { Requests, Agenda } = api.query.ProofOfQuality;
  const request = await Requests.getValue(id, { at: "best" });
  assert.ok(request);
  const { value } = (await getTypedCodecs(poq)).query.ProofOfQuality.Requests;
  const due = 1;
  const [requestKey, dueKey, oldKey] = (await Promise.all([Requests.getKey(id), Agenda.getKey(due, id), Agenda.getKey(request.due, id)])).map(unhex);
  await asRoot(api.tx.System.kill_storage({ keys: [oldKey!] }));
  await asRoot(api.tx.System.set_storage({ items: [[requestKey!, value.enc({ ...request, due })], [dueKey!, new Uint8Array()]] }));
  await sent(api.tx.ProofOfQuality.advance({ request: id }));
  assert.equal(await Requests.getValue(id, { at: "best" }), undefined);
}

const kept = async (path: string) => (await (await fetch(`${PAGE}v1/${path}`)).json()) as Record<string, any>;

/** Numbers of the requests in the list. */
const listed = async (page: Page) => (await page.locator("main tbody tr td:first-child").allInnerTexts()).map(Number);
const shows = (page: Page, numbers: number[]) => until(async () => String(await listed(page)) === String(numbers), `the list shows ${numbers}`);
const down = (from: number, count: number, step = 1) => Array.from({ length: count }, (_, place) => from - place * step);
const elements = (page: Page) => page.evaluate(() => document.querySelectorAll("*").length);

/** A page that may ask the history for a page at a time only. */
async function openList(hash: string) {
  const opened = await open(browser, hash);
  const tooMuch: string[] = [];
  opened.page.on("request", (request) => {
    const { pathname, searchParams } = new URL(request.url());
    if (pathname.endsWith("/v1/requests") && !(Number(searchParams.get("limit")) <= 100)) tooMuch.push(request.url());
  });
  const { page, done } = opened;
  return {
    page,
    done: async () => {
      assert.ok((await elements(page)) < MOST_ELEMENTS, `${await elements(page)} elements`);
      await done();
      assert.deepEqual(tooMuch, []);
    },
  };
}

test("a request that the chain forgets stays on its page", async () => {
  // The remark that it is forgotten comes above the rest.
  const { page, done } = await open(browser, "#/", { mayMove: true });
  await see(page, /^#\d+$/);
  await ask(page, "What is the capital of Peru?");
  await settled(page);
  await see(page, "Final: no fork can take it back.");
  await until(async () => (await kept(`requests/${KEPT}`))["state"] === "settled", "the history has the request");
  const whole = async (page: Page) => {
    await many(page.locator("article.answer"), 2);
    await many(page.locator("article.answer.best table.scores tbody tr"), 5 + 1);
    assert.match(await page.locator("article.answer.best").innerText(), /The capital of Peru is Lima\./);
    // Question, answers, scores, committee and money as the page tells them.
    return page.locator("main section:not([aria-labelledby=receipt])").allInnerTexts();
  };
  const before = await whole(page);
  await forget(BigInt(KEPT));
  await see(page, "The chain has pruned this request.");
  await see(page, /kept by the history of this page's server/);
  assert.deepEqual(await whole(page), before);
  assert.equal(await page.getByRole("heading", { name: "Receipt" }).count(), 0);
  assert.deepEqual(await check(page), []);
  await done();

  // The same for who comes later.
  const later = await open(browser, `#/requests/${KEPT}`);
  await see(later.page, "The chain has pruned this request.");
  assert.deepEqual(await whole(later.page), before);
  await shoot(later.page, "forgotten");
  await later.done();
});

test("a request of long ago has all its parts", async () => {
  const { page, done } = await open(browser, "#/requests/5000");
  await see(page, "The chain has pruned this request.");
  await see(page, "Question 5000: what is it that people ask?");
  await many(page.locator("article.answer"), 3);
  await many(page.locator("article.answer.best"), 1);
  await many(page.getByRole("region", { name: "Table: Committee" }).locator("tbody tr"), 7);
  const money = page.getByRole("region", { name: "Table: Money" });
  assert.deepEqual(await money.locator("tbody td:nth-of-type(1)").allInnerTexts(), ["0.341 POQ", "0.32 POQ", "0.001 POQ", "0.02 POQ"]);
  await page.getByText("Terms of the request").click();
  await see(page, /at most 256 tokens, temperature 0/);
  assert.deepEqual(await check(page), []);
  await page.goto(`${PAGE}#/requests/20`);
  await see(page, /no inference node could be drawn/);
  await page.goto(`${PAGE}#/requests/${KEPT + 1}`);
  await see(page, /was never made/);
  await done();
});

test("ten thousand requests are a list of pages", async (context) => {
  const begun = Date.now();
  const { page, done } = await openList("#/requests");
  await shows(page, down(KEPT, 20));
  context.diagnostic(`the newest 20 of 10,001 requests after ${Date.now() - begun} ms`);
  await see(page, "10,001 requests ever made");
  assert.equal(await page.locator("main tbody .badge.refunded").count(), 1);
  assert.deepEqual(await check(page), []);
  await shoot(page, "many");

  await page.getByRole("link", { name: "Older", exact: true }).click();
  await shows(page, down(KEPT - 20, 20));
  await see(page, "Requests 9961 to 9980");
  await page.getByRole("link", { name: "Newer", exact: true }).click();
  await shows(page, down(KEPT, 20));
  await page.getByRole("link", { name: "Oldest", exact: true }).click();
  await shows(page, [0]);
  await page.getByRole("link", { name: "Newer", exact: true }).click();
  await shows(page, down(20, 20));
  await page.getByRole("link", { name: "20", exact: true }).click();
  await see(page, "The chain has pruned this request.");
  await page.goBack();
  await shows(page, down(20, 20));
  await page.getByRole("link", { name: "Newest", exact: true }).click();
  await shows(page, down(KEPT, 20));
  await done();
});

test("filters reach all of ten thousand requests", async () => {
  const refunded = down(9_995, 476, REFUNDED);
  const { page, done } = await openList("#/requests");
  await shows(page, down(KEPT, 20));
  await page.getByLabel("State").selectOption("refunded");
  for (let at = 0; ; at += 100) {
    await shows(page, refunded.slice(at, at + 100));
    assert.equal(await page.locator("main tbody .badge.refunded").count(), Math.min(100, refunded.length - at));
    assert.ok((await elements(page)) < MOST_ELEMENTS, `${await elements(page)} elements`);
    if (at === 0) assert.deepEqual(await check(page), []);
    if (at + 100 > refunded.length) break;
    await page.getByRole("link", { name: "Older", exact: true }).click();
  }
  assert.equal(await page.getByRole("link", { name: "Older", exact: true }).count(), 0);
  await page.getByRole("link", { name: "Newest", exact: true }).click();
  await shows(page, refunded.slice(0, 100));

  const { requester } = await kept("requests/7");
  await page.getByLabel("State").selectOption("all");
  await page.getByLabel("Requester").fill(requester);
  await see(page, "10 matches among the newest 10,001 requests");
  await shows(page, down(9_007, 10, 1_000));

  // A text is looked for in so many requests at a time.
  await page.getByLabel("Requester").fill("");
  await page.getByLabel("Question contains").fill("question 9500:");
  await see(page, "No request matches these filters.");
  await see(page, "Searched: the newest 400 requests.");
  await page.getByRole("link", { name: "Older", exact: true }).click();
  await see(page, "1 match among requests 9201 to 9600");
  await shows(page, [9_500]);
  await done();
});

test("a history of another chain is not believed", async () => {
  const { page, done } = await open(browser, "#/network");
  await page.locator(".connection.connected").waitFor();
  await page.route("**/v1/status", (route) => route.fulfill({ json: { genesis: `0x${"11".repeat(32)}` } }));
  await page.goto(`${PAGE}#/requests/5000`);
  await page.reload();
  await see(page, "Request 5000 is over, and the chain has pruned it.");
  await done();
});
