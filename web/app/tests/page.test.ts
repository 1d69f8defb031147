// The page in a real browser, on a real node with its engine. cli/tests/it/web.rs starts them and runs this.

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { readdirSync } from "node:fs";
import { after, before, test } from "node:test";
import type { Browser } from "playwright-core";
import { sr25519CreateDerive } from "@polkadot-labs/hdkd";
import { blake2b256, DEV_MINI_SECRET } from "@polkadot-labs/hdkd-helpers";
import { compact } from "../src/lib/scale.ts";
import { check, launch, many, open, PAGE, shoot, until } from "./browser.ts";
import { ask, choose, see, settled } from "./steps.ts";

let browser: Browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const TMP = process.env["RESULTS"] ?? ".";

/** Units of an amount as the page shows it. */
function units(text: string): bigint {
  const [, whole = "", rest = ""] = /^([\d,]+)(?:\.(\d+))? POQ$/.exec(text.trim()) ?? assert.fail(text);
  return BigInt(whole.replaceAll(",", "")) * 10n ** 12n + BigInt(rest.padEnd(12, "0"));
}

test("a question is asked, answered, scored and paid, and its receipt holds", async () => {
  const { page, done } = await open(browser, "#/");
  await see(page, /^#\d+$/);
  await ask(page, "What is the capital of Peru?");
  await settled(page);
  const best = page.locator("article.answer.best");
  assert.match(await best.innerText(), /The capital of Peru is Lima\./);
  await many(page.locator("article.answer"), 2);
  await many(best.locator("table.scores tbody tr"), 5 + 1);
  const money = page.getByRole("region", { name: "Table: Money" });
  await money.waitFor();
  const [budget = 0n, ...parts] = (await money.locator("tbody tr td:nth-of-type(1)").allInnerTexts()).map(units);
  assert.equal(parts.length, 3);
  assert.equal(parts.reduce((sum, part) => sum + part, 0n), budget);
  await see(page, "Final: no fork can take it back.");
  await see(page, /The transaction cost/);
  await shoot(page, "asked");

  const link = (await page.getByRole("link", { name: "Permanent link" }).getAttribute("href"))!;
  assert.ok(link.startsWith(`${PAGE}#/requests/`));
  await page.getByRole("button", { name: "Make a receipt" }).click();
  await see(page, /This browser checked the receipt/);
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Download the receipt" }).click()]);
  const file = `${TMP}/receipt.json`;
  await download.saveAs(file);
  await shoot(page, "receipt");

  await page.goto(`${PAGE}#/verify`);
  const verify = async (receipt: string) => {
    await page.getByLabel("Receipt (a JSON file)").setInputFiles(receipt);
    await page.getByRole("button", { name: "Check", exact: true }).click();
  };
  await page.getByRole("button", { name: "Use the hash of the connected node" }).click();
  await page.getByLabel("A text of yours (optional)").fill("The capital of Peru is Lima.");
  await verify(file);
  await see(page, "The receipt holds");
  await see(page, /The text is answer \d of the receipt\./);
  await shoot(page, "verified");
  const forged = JSON.parse(await readFile(file, "utf8")) as { request: number };
  await writeFile(`${TMP}/forged.json`, JSON.stringify({ ...forged, request: forged.request + 1 }));
  await verify(`${TMP}/forged.json`);
  await see(page, /The receipt does not hold/);
  await done();
  // `poq verify` must say the same of the file.
  await writeFile(`${TMP}/asked.json`, JSON.stringify({ request: Number(link.split("/").at(-1)) }));
});

test("a question that is a script is text, also to right-to-left readers", async () => {
  const hostile = "<script>alert(1)</script><img src=x onerror=alert(2)> \u202egnp.exe";
  for (const [question, shown] of [
    [hostile, "<script>alert(1)</script><img src=x onerror=alert(2)> <U+202E>gnp.exe"],
    ["ما هي عاصمة بيرو؟", "ما هي عاصمة بيرو؟"],
  ] as const) {
    const { page, done } = await open(browser, "#/");
    await page.getByLabel("Answers", { exact: true }).fill("1");
    await page.getByLabel("Committee", { exact: true }).fill("3");
    await ask(page, question, "charlie");
    await settled(page);
    assert.equal(await page.locator(".question .plain").innerText(), shown);
    assert.equal(await page.locator(".question .plain").evaluate((place) => place.querySelectorAll("script, img").length), 0);
    const direction = await page.locator(".question .plain").evaluate((place) => getComputedStyle(place).direction);
    assert.equal(direction, question === hostile ? "ltr" : "rtl");
    await page.goto(`${PAGE}#/requests`);
    await see(page, question === hostile ? /onerror=alert/ : question);
    await done();
  }
});

test("an answer is Markdown, and nothing in it runs, loads or passes for the page", async () => {
  const { page, done } = await open(browser, "#/models");
  const file = readdirSync(process.env["DIST"] ?? "../dist/assets").find((name) => name.startsWith("markdown-"))!;
  const { html, attributes } = await page.evaluate(
    async ({ file, answer }) => {
      const { render } = Object.fromEntries(
        Object.values(await import(`${location.origin}/assets/${file}`)).map((value) => ["render", value as (answer: string) => DocumentFragment]),
      );
      const place = document.createElement("div");
      document.body.append(place);
      place.append(render!(answer));
      const { innerHTML: html } = place;
      const attributes = [...place.querySelectorAll("*")].flatMap((element) => element.getAttributeNames());
      place.remove();
      return { html, attributes: [...new Set(attributes)].sort() };
    },
    {
      file,
      answer: [
        "**bold** <b onclick=alert(1)>html</b> <script>alert(2)</script>",
        "![picture](https://evil.example/a.png) <img src=https://evil.example/b.png onerror=alert(3)>",
        "[good](https://example.com/) [bad](javascript:alert(4)) [data](data:text/html,x) [page](#/network) \u202e",
        "<style>*{display:none}</style> <form action=https://evil.example><input></form> <a href=https://x.example id=app>x</a>",
        "```\n<script>\n```",
      ].join("\n\n"),
    },
  );
  assert.match(html, /<strong>bold<\/strong>/);
  assert.doesNotMatch(html, /<(script|img|style|form|input|b|iframe)\b/i);
  assert.deepEqual(attributes, ["href", "rel", "tabindex", "target", "title"]);
  assert.match(html, /<a href="https:\/\/example.com\/" rel="noopener noreferrer nofollow" target="_blank"/);
  assert.match(html, /!\[picture\]\(https:\/\/evil.example\/a.png\)/);
  assert.match(html, /&lt;U\+202E&gt;/);
  assert.equal(html.match(/<a [^>]*href=/g)?.length, 1);
  await done();
});

test("requests are listed, filtered and found again", async () => {
  const { page, done } = await open(browser, "#/requests");
  await see(page, "What is the capital of Peru?");
  const rows = page.locator("main tbody tr");
  await many(rows, 3);
  await page.getByLabel("Question contains").fill("peru");
  await see(page, /1 match among the newest 3 requests/);
  await many(rows, 1);
  assert.match(page.url(), /search=peru/);
  await page.getByLabel("State").selectOption("refunded");
  await see(page, "No request matches these filters.");
  await page.goto(`${PAGE}#/requests?requester=charlie`);
  await see(page, /2 matches among/);
  await page.goto(`${PAGE}#/requests/0`);
  await settled(page);
  await page.getByText("Meaning of each phase").click();
  await see(page, /nobody can copy another answer/);
  await page.getByText("Terms of the request").click();
  await see(page, /at most 64 tokens, temperature 0/);
  await page.goto(`${PAGE}#/requests/4711`);
  await see(page, /Request 4711 was never made/);
  await page.goto(`${PAGE}#/requests/none`);
  await see(page, "A request has a whole number.");
  await done();
});

test("models, operators and the network are shown", async () => {
  const { page, done } = await open(browser, "#/models");
  for (const name of ["poq-demo-strong", "poq-demo-weak", "poq-demo-evaluator"]) await page.getByRole("heading", { name }).waitFor();
  await page.getByRole("link", { name: "operator-0" }).first().click();
  await page.getByRole("heading", { name: "operator-0" }).waitFor();
  await see(page, /of price and bonus, by quality and latency/);
  await page.getByRole("link", { name: "Operators", exact: true }).click();
  // The page of one operator has rows as well.
  await page.getByRole("heading", { name: "Operators", level: 1 }).waitFor();
  await many(page.locator("main tbody tr"), 7);
  await page.getByLabel("Order").selectOption("promise");
  // Who is the best depends on who was drawn, and may change with any block.
  const promises = page.locator("main tbody tr td:nth-child(4) meter");
  await until(async () => {
    const shown = await promises.evaluateAll((all) => all.map((one) => (one as HTMLMeterElement).value));
    return shown.length === 7 && new Set(shown).size > 1 && shown.every((value, row) => row === 0 || value <= (shown[row - 1] ?? 0));
  }, "operators stand by their promise");
  await page.goto(`${PAGE}#/operators/nobody`);
  await see(page, "nobody is no operator of this chain.");
  await page.getByRole("link", { name: "Network", exact: true }).click();
  await see(page, "none: it is alone");
  await page.getByRole("rowheader", { name: "min_committee" }).waitFor();
  // This node listens for other nodes only.
  await page.getByRole("button", { name: "Check everything in this page" }).click();
  await see(page, /names no address at which browsers reach nodes/);
  await page.getByLabel("Address of a node").fill("http://127.0.0.1");
  await page.getByRole("button", { name: "Connect" }).click();
  await see(page, /is no address of a node/);
  await page.goto(`${PAGE}#/nothing`);
  await see(page, "There is no such page");
  await done();
});

test("a conversation is asked, and asked on", async () => {
  const { page, done } = await open(browser, "#/");
  await see(page, /^#\d+$/);
  await page.getByRole("button", { name: "Add an instruction" }).click();
  await page.getByLabel(/Instruction to the model/).fill("Answer in one sentence.");
  await page.getByLabel("Answers", { exact: true }).fill("1");
  await page.getByLabel("Committee", { exact: true }).fill("3");
  await ask(page, "What is the capital of Peru?", "dave");
  await settled(page);
  await see(page, "Conversation");
  await page.getByRole("button", { name: "Ask on" }).click();
  assert.notEqual(await page.getByLabel("Answer 1 (as the model gave it)").inputValue(), "");
  assert.equal(await page.getByLabel("Question", { exact: true }).inputValue(), "");
  await page.reload();
  const stored = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie);
  assert.equal(stored, "{}");
  await done();
});

test("what cannot be asked is refused before anything is signed", async () => {
  const { page, done } = await open(browser, "#/");
  await see(page, /^#\d+$/);
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await see(page, "Write a question first.");
  await page.getByLabel("Question", { exact: true }).fill("What is the capital of Peru?");
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await see(page, "Choose the account that pays first.");
  await choose(page, "bob");
  for (const [label, value, says] of [
    ["Answers", "9", /InvalidResponders/],
    ["Answers", "1.5", /whole numbers/],
    ["Budget", "1,5", /A budget is a number of POQ/],
    ["Minimum quality", "50", /from 0 to 1/],
  ] as const) {
    const field = page.getByLabel(label, { exact: true });
    const usual = await field.inputValue();
    await field.fill(value);
    await see(page, says);
    await field.fill(usual);
    await see(page, /POQ at most/);
  }
  await page.getByLabel("Budget", { exact: true }).fill("0.000001");
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await see(page, /BudgetTooSmall/);
  await done();
});

test("a wallet that refuses is said to refuse, and nothing is sent", async () => {
  const script = () => {
    const bob = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";
    const refuse = () => Promise.reject(new Error("Cancelled"));
    const accounts = { get: async () => [{ address: bob, name: "Bob of the wallet", type: "sr25519" }], subscribe: (call: (all: object[]) => void) => (call([{ address: bob, name: "Bob of the wallet", type: "sr25519" }]), () => {}) };
    const wallet = { enable: async () => ({ accounts, signer: { signPayload: refuse, signRaw: refuse } }) };
    const none = { enable: () => Promise.reject(new Error("The user rejected this page")) };
    Object.assign(window, { injectedWeb3: { shy: none, stubborn: wallet } });
  };
  const { page, done } = await open(browser, "#/", { script });
  await see(page, /^#\d+$/);
  await page.getByRole("button", { name: "Connect shy" }).click();
  await see(page, /The wallet shy gives this page no account: The user rejected this page/);
  await page.getByRole("button", { name: "Connect stubborn" }).click();
  await page.locator("option", { hasText: "Bob of the wallet" }).waitFor({ state: "attached" });
  await page.getByLabel("Question", { exact: true }).fill("What is the capital of Peru?");
  await see(page, /POQ at most/);
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await see(page, "The wallet did not sign. Nothing was sent, and nothing was paid.");
  await shoot(page, "wallet");
  await done();
});

/** The signature of a wallet: over the payload that every wallet of this kind makes of what a page hands it. */
async function sign(handed: string): Promise<string> {
  const payload = JSON.parse(handed) as Record<"method" | "era" | "nonce" | "tip" | "specVersion" | "transactionVersion" | "genesisHash" | "blockHash", string>;
  const bytes = (hex: string) => Buffer.from(hex.slice(2), "hex");
  const small = (hex: string) => compact(Number(hex));
  const word = (hex: string) => {
    const four = Buffer.alloc(4);
    four.writeUInt32LE(Number(hex));
    return four;
  };
  const { method, era, nonce, tip, specVersion, transactionVersion, genesisHash, blockHash } = payload;
  // It knows no hash of the metadata: the mode says so, and none is under the signature.
  const none = Buffer.from([0]);
  const extra = [bytes(era), small(nonce), small(tip), none];
  const signed = Buffer.concat([bytes(method), ...extra, word(specVersion), word(transactionVersion), bytes(genesisHash), bytes(blockHash), none]);
  const key = sr25519CreateDerive(DEV_MINI_SECRET)("//Eve");
  const signature = key.sign(signed.length > 256 ? blake2b256(signed) : signed);
  return `0x01${Buffer.from(signature).toString("hex")}`;
}

test("a wallet signs for the account that the user chose", async () => {
  const script = () => {
    const all = [{ address: "5HGjWAeFDfFCWPsjFQdVV2Msvz2XtMktvgocEZcCj68kUMaw", name: "Eve of the wallet", type: "sr25519" }];
    const accounts = { get: async () => all, subscribe: (call: (all: object[]) => void) => (call(all), () => {}) };
    const { sign } = window as unknown as { sign: (payload: string) => Promise<string> };
    const signPayload = async (payload: object) => ({ id: 1, signature: await sign(JSON.stringify(payload)) });
    Object.assign(window, { injectedWeb3: { willing: { enable: async () => ({ accounts, signer: { signPayload, signRaw: signPayload } }) } } });
  };
  const { page, done } = await open(browser, "#/", { script, sign });
  await see(page, /^#\d+$/);
  await page.getByRole("button", { name: "Connect willing" }).click();
  await page.locator("option", { hasText: "Eve of the wallet" }).waitFor({ state: "attached" });
  await page.getByLabel("Answers", { exact: true }).fill("1");
  await page.getByLabel("Committee", { exact: true }).fill("3");
  await page.getByLabel("Question", { exact: true }).fill("What is the capital of Peru?");
  await see(page, /POQ at most/);
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await settled(page);
  await see(page, /The transaction cost/);
  await many(page.locator(".question .by").getByText("eve"), 1);
  await done();
});

test("the first key leads to the content, and pages say where they are", async () => {
  const { page, done } = await open(browser, "#/requests");
  await page.locator("main tbody tr").first().waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement?.id), "main");
  await page.getByRole("link", { name: "Models", exact: true }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "poq-demo-strong" }).waitFor();
  assert.equal(await page.title(), "Models – Proof of Quality");
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), "H1");
  await done();
});

const PAGES = [
  ["#/", "Choose an account"],
  ["#/requests", "What is the capital of Peru?"],
  ["#/requests/0", "Receipt"],
  ["#/requests/4711", /never made/],
  ["#/models", "poq-demo-evaluator"],
  ["#/operators", "operator-6"],
  ["#/operators/5HGRnaHxPAZfkHvgEGYNKR5H7WAyNegPgpSoEbZFiwjc1KJY", "Latest duties that are over"],
  ["#/network", "audit_fall"],
  ["#/verify", "Check a receipt"],
  ["#/nothing", "There is no such page"],
] as const;

for (const theme of ["light", "dark"] as const) {
  test(`axe finds nothing serious in the ${theme} theme, from phone to wide screen`, async () => {
    for (const [hash, shown] of PAGES) {
      for (const width of [360, 900, 1_600]) {
        const { page, done } = await open(browser, hash, { theme, width });
        await page.getByText(shown).first().waitFor({ state: "attached" });
        await see(page, /^#\d+$/);
        assert.deepEqual(await check(page), [], `${hash} ${theme} ${width}`);
        await shoot(page, `${hash.replaceAll(/[#/]+/g, "_").slice(0, 20)}-${theme}-${width}`);
        await done();
      }
    }
  });
}
