// Measures a page with Lighthouse, as a phone with a processor four times as slow, on this machine's own network. `poq-bench page` runs it.
//
//   node measure.mjs URL RUNS     CHROME_PATH names the browser
//
// It prints one JSON object: a list of runs, and the compressed size of all scripts that the page loads.

import { gzipSync } from "node:zlib";
import { launch } from "chrome-launcher";
import lighthouse from "lighthouse";

const [url, runs] = process.argv.slice(2);
/** Chromium refuses its sandbox to root. */
const chromeFlags = ["--headless=new", "--disable-dev-shm-usage", ...(process.getuid() === 0 ? ["--no-sandbox"] : [])];
const local = { rttMs: 0, throughputKbps: 0, requestLatencyMs: 0, downloadThroughputKbps: 0, uploadThroughputKbps: 0 };
const throttling = { ...local, cpuSlowdownMultiplier: 4 };

const chrome = await launch({ chromeFlags, logLevel: "error" });
try {
  const measured = [];
  let scripts = [];
  for (let run = 0; run < Number(runs); run += 1) {
    const { lhr } = await lighthouse(url, {
      port: chrome.port,
      logLevel: "error",
      onlyCategories: ["performance", "accessibility"],
      throttlingMethod: "devtools",
      throttling,
    });
    if (lhr.runtimeError) throw new Error(`${lhr.runtimeError.code}: ${lhr.runtimeError.message}`);
    const { audits, categories } = lhr;
    const value = (audit) => audits[audit].numericValue;
    measured.push({
      performance: 100 * categories.performance.score,
      accessibility: 100 * categories.accessibility.score,
      first_paint: value("first-contentful-paint"),
      largest_paint: value("largest-contentful-paint"),
      speed_index: value("speed-index"),
      blocked: value("total-blocking-time"),
      shift: value("cumulative-layout-shift"),
      missed: Object.values(audits)
        .filter(({ score, scoreDisplayMode }) => scoreDisplayMode === "binary" && score === 0)
        .map(({ id }) => id),
    });
    scripts = audits["network-requests"].details.items.filter(({ resourceType }) => resourceType === "Script").map((item) => item.url);
  }
  const sizes = await Promise.all(
    scripts.map(async (script) => gzipSync(Buffer.from(await (await fetch(script)).arrayBuffer())).length),
  );
  console.log(JSON.stringify({ runs: measured, scripts: sizes.reduce((sum, size) => sum + size, 0) }));
} finally {
  await chrome.kill();
}
