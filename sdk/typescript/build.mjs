// Builds the package into dist/: the types of the chain, the verifier of receipts, the modules and their declarations.
//
//   npm run build
//
// The types come from client/metadata.scale, so no node is needed. POQ_VERIFIER names the verifier (a .wasm file);
// without it scripts/build-verifier.sh makes one, which needs Rust.

import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

process.chdir(import.meta.dirname);
if (!existsSync("node_modules")) {
  console.error("error: the packages are missing: run `npm ci --ignore-scripts` first");
  process.exit(1);
}
const node = (...args) => execFileSync(process.execPath, args, { stdio: ["ignore", 2, 2] });

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
node("node_modules/polkadot-api/bin/cli.js", "generate", "--config", ".papi/polkadot-api.json");
cpSync(".papi/descriptors/dist", "dist/descriptors", { recursive: true });
// The generator leaves the extensions of its imports out, with which TypeScript finds no types in projects for Node.js.
for (const file of readdirSync("dist/descriptors").filter((file) => file.endsWith(".d.ts"))) {
  const path = `dist/descriptors/${file}`;
  writeFileSync(path, readFileSync(path, "utf8").replace(/((?:from|import\() *["']\.\/[\w-]+)(["'])/g, "$1.js$2"));
}

const verifier =
  process.env.POQ_VERIFIER ||
  execFileSync("../../scripts/build-verifier.sh", { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
// As text in a module, so that every bundler and Node.js load it in the same way.
writeFileSync("dist/verifier.js", `export default "${readFileSync(verifier).toString("base64")}";\n`);
writeFileSync("dist/verifier.d.ts", "declare const base64: string;\nexport default base64;\n");

node("node_modules/typescript/bin/tsc");
copyFileSync("../../LICENSE", "LICENSE");
