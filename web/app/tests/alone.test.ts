// The page with a light client of its own. cli/tests/it/web.rs starts a node that browsers reach as nodes do, and runs this.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { check, launch, NODE, open, shoot } from "./browser.ts";
import { ask, see, settled } from "./steps.ts";

let browser: Browser;
before(async () => (browser = await launch()));
after(() => browser.close());

/** What the node says. */
async function said(method: string): Promise<string[]> {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: [] });
  const answer = await fetch(NODE.replace("ws://", "http://"), { method: "POST", headers: { "content-type": "application/json" }, body });
  return ((await answer.json()) as { result: string[] }).result;
}

test("the page follows the chain by itself, and asks", async () => {
  const addresses = (await said("system_localListenAddresses")).flatMap((address) => /^\/ip4\/([\d.]+)\/tcp\/(\d+)\/ws\//.exec(address)?.slice(1).join(":") ?? []);
  assert.ok(addresses.length > 0);
  // Another connection changes what the page says of it, well after the click.
  const { page, done } = await open(browser, "#/network", { peers: addresses, mayMove: true });
  await page.locator(".connection.connected").waitFor();
  await page.getByRole("button", { name: "Check everything in this page" }).click();
  await see(page, /has checked everything since/);
  await page.locator(".connection.connected").waitFor();
  await see(page, /^smoldot/);
  assert.deepEqual(await check(page), []);
  await shoot(page, "alone");

  await page.getByRole("link", { name: "Ask", exact: true }).click();
  await see(page, /^#\d+$/);
  await ask(page, "What is the capital of Peru?");
  await settled(page);
  assert.match(await page.locator("article.answer.best").innerText(), /The capital of Peru is Lima\./);
  await see(page, "Final: no fork can take it back.");

  await page.getByRole("link", { name: "Network", exact: true }).click();
  await page.getByRole("button", { name: "Believe the node again" }).click();
  await page.locator(".connection.connected").waitFor();
  await see(page, /^Proof of Quality node/);
  await done();
});
