// A real browser for the tests. It notes each thing that a page should not do.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium, type Browser, type BrowserContext, type Locator, type Page } from "playwright-core";

/** Address of the page, with `/` at the end, and that of the node. */
export const PAGE = process.env["PAGE"] ?? "http://127.0.0.1:8080/";
export const NODE = process.env["NODE_URL"] ?? "ws://127.0.0.1:9944";

/** Milliseconds for anything: machines are busy. */
export const PATIENCE = Number(process.env["PATIENCE"] ?? 300_000);

const AXE = readFileSync(join(createRequire(import.meta.url).resolve("axe-core"), "../axe.min.js"), "utf8");

/** Most shift of a page's layout while it loads; 0.1 is what is called good. */
const MOST_SHIFT = 0.1;

const PROGRAM = {
  executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
  // Chromium refuses its sandbox to root.
  args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
};

export const launch = (): Promise<Browser> => chromium.launch(PROGRAM);

/** A browser with an extension in it, and its data in a folder. It can reach this machine only. */
export const launchWith = (extension: string, folder: string): Promise<BrowserContext> =>
  chromium.launchPersistentContext(folder, {
    ...PROGRAM,
    ignoreDefaultArgs: ["--disable-extensions"],
    args: [
      ...PROGRAM.args,
      `--disable-extensions-except=${extension}`,
      `--load-extension=${extension}`,
      "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ],
  });

export type Options = { theme?: "light" | "dark"; width?: number; script?: () => void; sign?: (payload: string) => Promise<string>; nodeMayBeGone?: boolean; peers?: string[]; mayMove?: boolean };

/** A page in a context of its own. `done` checks what it did, and closes it. */
export async function open(browser: Browser, hash: string, options: Options = {}) {
  const context: BrowserContext = await browser.newContext({
    viewport: { width: options.width ?? 1_280, height: 900 },
    colorScheme: options.theme ?? "light",
    acceptDownloads: true,
  });
  return openIn(context, hash, options);
}

/** The only page of a context; `done` closes both. */
export async function openIn(context: BrowserContext, hash: string, options: Options = {}) {
  context.setDefaultTimeout(PATIENCE);
  const faults: string[] = [];
  // A light client in the page connects to other nodes.
  const allowed = new Set([new URL(PAGE).host, new URL(NODE).host, ...(options.peers ?? [])]);
  const look = (url: string) => {
    const { protocol, host } = new URL(url);
    if (!["data:", "blob:", "chrome-extension:"].includes(protocol) && !allowed.has(host)) faults.push(`asked ${url}`);
  };
  context.on("request", (request) => look(request.url()));
  const page: Page = await context.newPage();
  page.on("websocket", (socket) => look(socket.url()));
  page.on("pageerror", (error) => faults.push(`error: ${error.stack ?? error.message}`));
  page.on("dialog", (dialog) => {
    faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("console", (message) => {
    const isLoss = options.nodeMayBeGone && /WebSocket/.test(message.text());
    if (["error", "warning"].includes(message.type()) && !isLoss) faults.push(`console: ${message.text()}`);
  });
  await page.addInitScript(() => {
    const shifts = { sum: 0 };
    Object.assign(window, { shifts });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean })[]) {
        if (!entry.hadRecentInput) shifts.sum += entry.value;
      }
    }).observe({ type: "layout-shift", buffered: true });
  });
  if (options.sign) await page.exposeFunction("sign", options.sign);
  if (options.script) await page.addInitScript(options.script);
  await page.goto(PAGE + hash);
  return {
    page,
    done: async () => {
      const shift = await page.evaluate(() => (window as unknown as { shifts: { sum: number } }).shifts.sum);
      await context.close();
      assert.deepEqual(faults, [], hash);
      assert.ok(options.mayMove || shift <= MOST_SHIFT, `${hash} moves while it loads: ${shift}`);
    },
  };
}

/** Waits until it holds. */
export async function until(holds: () => Promise<boolean>, what: string) {
  for (const end = Date.now() + PATIENCE; !(await holds()); await new Promise((next) => setTimeout(next, 100))) {
    assert.ok(Date.now() < end, `not yet: ${what}`);
  }
}

/** Waits until there are as many of these: what is asked of a node comes later than its page. */
export const many = (places: Locator, count: number) => until(async () => (await places.count()) === count, `${count} of ${places}`);

/** Findings of axe that are serious or critical, and a page that is wider than the window. */
export async function check(page: Page): Promise<string[]> {
  const session = await page.context().newCDPSession(page);
  // Not through the page, whose policy refuses scripts of others.
  await session.send("Runtime.evaluate", { expression: AXE });
  const run = "axe.run(document).then(({violations}) => JSON.stringify(violations.map(({impact, id, nodes}) => ({impact, id, html: nodes.map(({html}) => html)}))))";
  const { result } = await session.send("Runtime.evaluate", { expression: run, awaitPromise: true, returnByValue: true });
  await session.detach();
  const violations = JSON.parse(String(result.value)) as { impact: string; id: string; html: string[] }[];
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  return [...serious.map((violation) => JSON.stringify(violation)), ...(wide! > window! ? [`${wide} px wide in a window of ${window} px`] : [])];
}

/** A picture, where the variable SHOTS names a folder for pictures. */
export async function shoot(page: Page, name: string) {
  const folder = process.env["SHOTS"];
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}
