// Builds the page into web/dist, or into the folder that is given, with the licences of the packages in it, and prints the sizes.
//
//   node build.mjs [FOLDER]
//
// The result depends on the sources and the packages only, not on folders or clocks: a test builds it again and compares.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "vite";

/** Most bytes of compressed script and style before the first useful paint. */
const MOST = 250 * 1024;

const folder = process.argv[2] ?? "../dist";
const { output } = await build({ root: import.meta.dirname, logLevel: "warn", build: { outDir: folder } });

const dist = resolve(import.meta.dirname, folder);
writeFileSync(join(dist, "licenses.txt"), licences(output.flatMap((file) => Object.keys(file.modules ?? {}))));
const size = (file) => gzipSync(readFileSync(join(dist, file))).length;
const page = readFileSync(join(dist, "index.html"), "utf8");
const first = [...page.matchAll(/(?:src|href)="\.\/(assets\/[^"]+)"/g)].map(([, file]) => file);
let all = 0;
for (const file of readdirSync(join(dist, "assets")).sort()) {
  const bytes = size(join("assets", file));
  all += bytes;
  const mark = first.includes(`assets/${file}`) ? "first paint" : "";
  console.log(`${String(bytes).padStart(9)}  ${file.padEnd(44)} ${mark}`.trimEnd());
}
const paint = first.reduce((sum, file) => sum + size(file), 0);
console.log(`${paint} bytes (gzip) before the first paint, at most ${MOST}; ${all} in all`);
if (paint > MOST) {
  console.error("error: the page is too large");
  process.exitCode = 1;
}

/** Name, version, licence and notice of each package of which something is in the page. */
function licences(modules) {
  const folders = modules.flatMap((id) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id.replace(/^\0/, ""))?.[0] ?? []);
  const parts = [...new Set(folders)].map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file));
    // Some packages name their licence only.
    const notice = file ? readFileSync(join(folder, file), "utf8").trim() : "";
    return `${name} ${version} (${license})\n\n${notice}`.trim();
  });
  const rule = "\n\n" + "-".repeat(80) + "\n\n";
  return `Packages of which something is in this page, with their licences.${rule}${parts.sort().join(rule)}\n`;
}
