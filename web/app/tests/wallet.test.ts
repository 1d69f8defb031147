// A wallet of the published code of the polkadot-js extension (tests/wallet), loaded as an extension, on a real node. cli/tests/it/web.rs starts it
// and runs this.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { BrowserContext, Page } from "playwright-core";
import { launchWith, many, NODE, openIn, PATIENCE, shoot } from "./browser.ts";
import { see, settled } from "./steps.ts";
import { buildWallet } from "./wallet/build.ts";

/** Milliseconds in which the extension signs for a page once only: a person is slower than a test. */
const PAUSE = 3_000;

const PASSWORD = "correct horse";
const EVE = "5HGjWAeFDfFCWPsjFQdVV2Msvz2XtMktvgocEZcCj68kUMaw";

let folder: string;
let context: BrowserContext;
/** The wallet's own page, in the place of its windows. */
let wallet: Page;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "poq-wallet-"));
  const extension = join(folder, "extension");
  await buildWallet(extension);
  context = await launchWith(extension, join(folder, "data"));
  const worker = context.serviceWorkers()[0] ?? (await context.waitForEvent("serviceworker"));
  wallet = await context.newPage();
  await wallet.goto(new URL("notification.html", worker.url()).href);
  await send("pri(accounts.create.suri)", { name: "Eve of the wallet", password: PASSWORD, suri: "//Eve", genesisHash: null });
});
after(async () => {
  await context.close();
  await rm(folder, { recursive: true, force: true });
});

type Wallet = { send: (message: string, request: unknown) => Promise<unknown>; first: (message: string) => Promise<Queued> };
/** What waits for the user. */
type Queued = { id: string; url: string; request: Record<string, any> };

const send = (message: string, request: unknown) =>
  wallet.evaluate(([message, request]) => (window as unknown as Wallet).send(message as string, request), [message, request]);
/** Waits for what a page wants of the user. What is asked of the wallet has no end of its own. */
const first = (message: string) => {
  const late = sleep(PATIENCE, undefined, { ref: false }).then(() => assert.fail(`nothing came: ${message}`));
  return Promise.race([wallet.evaluate((message) => (window as unknown as Wallet).first(message), message), late]);
};

async function genesis(): Promise<string> {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "chain_getBlockHash", params: [0] });
  const answer = await fetch(NODE.replace("ws://", "http://"), { method: "POST", headers: { "content-type": "application/json" }, body });
  return ((await answer.json()) as { result: string }).result;
}

test("a wallet that does not know the chain asks its user, and signs", async () => {
  // What the user says in the wallet changes the page well after the click.
  const { page, done } = await openIn(context, "#/", { mayMove: true });
  await see(page, /^#\d+$/);
  await page.getByRole("button", { name: "Connect polkadot-js" }).click();
  const asked = await first("pri(authorize.requests)");
  assert.equal(asked.request["origin"], "Proof of Quality");
  await send("pri(authorize.approve)", { id: asked.id, authorizedAccounts: [EVE] });
  await page.locator("option", { hasText: "Eve of the wallet" }).waitFor({ state: "attached" });

  await page.getByLabel("Answers", { exact: true }).fill("1");
  await page.getByLabel("Committee", { exact: true }).fill("3");
  await page.getByLabel("Question", { exact: true }).fill("What is the capital of Peru?");
  await see(page, /POQ at most/);
  const ask = page.getByRole("button", { name: "Ask", exact: true });
  await ask.click();
  const refused = await first("pri(signing.requests)");
  const { payload } = refused.request;
  assert.deepEqual([payload.address, payload.genesisHash], [EVE, await genesis()]);
  // It has no metadata of the chain, so it can show the bytes of the call only.
  assert.equal(await send("pri(metadata.get)", payload.genesisHash), null);
  await send("pri(signing.cancel)", { id: refused.id });
  await see(page, "The wallet did not sign. Nothing was sent, and nothing was paid.");
  await shoot(page, "wallet-refused");

  await sleep(PAUSE);
  await ask.click();
  const wanted = await first("pri(signing.requests)");
  assert.notEqual(wanted.id, refused.id);
  await send("pri(signing.approve.password)", { id: wanted.id, password: PASSWORD, savePass: false });
  await settled(page);
  await see(page, /The transaction cost/);
  await many(page.locator(".question .by").getByText("eve"), 1);
  await shoot(page, "wallet-signed");
  await done();
});
