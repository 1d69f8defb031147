// What tests of several files do on a page.

import type { Page } from "playwright-core";

/** Waits until a live page shows this. */
export const see = (page: Page, text: string | RegExp) => page.getByText(text).first().waitFor();

/** Chooses the account that pays. */
export async function choose(page: Page, account: string) {
  const select = page.getByLabel("Account that pays");
  const option = select.locator("option", { hasText: new RegExp(`^${account} `) });
  await option.waitFor({ state: "attached" });
  await select.selectOption((await option.getAttribute("value"))!);
}

/** Asks a question with the usual terms. */
export async function ask(page: Page, question: string, account = "bob") {
  await page.getByLabel("Question", { exact: true }).fill(question);
  await choose(page, account);
  await see(page, /POQ at most/);
  await page.getByRole("button", { name: "Ask", exact: true }).click();
}

/** Waits until the request of this page is settled. */
export const settled = (page: Page) => page.locator('article.request[data-state="Settled"]').waitFor();
