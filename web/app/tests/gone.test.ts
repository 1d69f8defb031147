// A node that goes away and comes back. The files in RESULTS say to cli/tests/it/web.rs how far the page is.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { check, launch, many, open } from "./browser.ts";

let browser: Browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const RESULTS = process.env["RESULTS"] ?? ".";
const say = (name: string) => writeFile(`${RESULTS}/${name}`, "");

test("a node that goes away is said to be gone, and the page goes on when it is back", async () => {
  const { page, done } = await open(browser, "#/requests", { nodeMayBeGone: true });
  await page.locator("main tbody tr").first().waitFor();
  const rows = await page.locator("main tbody tr").count();
  await say("connected");
  await page.getByText(/does not answer\. This page tries again/).waitFor();
  assert.equal(await page.locator("main tbody tr").count(), rows, "what was read stays");
  assert.deepEqual(await check(page), []);
  const other = await open(browser, "#/", { nodeMayBeGone: true });
  await other.page.getByText(/does not answer\. This page tries again/).waitFor();
  await other.page.getByLabel("Question", { exact: true }).fill("Is anybody there?");
  assert.deepEqual(await check(other.page), []);
  await say("lost");
  await other.page.getByText("The node answers again.").waitFor();
  assert.equal(await other.page.getByLabel("Question", { exact: true }).inputValue(), "Is anybody there?");
  await other.done();
  await page.locator(".connection.connected").waitFor();
  const block = async () => Number((await page.locator(".connection .number").innerText()).slice(1));
  const before = await block();
  await page.waitForFunction((before) => Number(document.querySelector(".connection .number")?.textContent?.slice(1)) > before, before);
  await many(page.locator("main tbody tr"), rows);
  await done();
});
