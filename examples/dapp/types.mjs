// Writes the TypeScript types of a running node's chain into .papi/descriptors.
//
//   npm run types [-- ws://127.0.0.1:9944]      or with POQ_URL=ws://127.0.0.1:9944
//
// Exit codes: 0 written, 1 failed, 2 wrong usage. Plain JavaScript, so that a Node.js that is too old can say so.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const CONFIG = ".papi/polkadot-api.json";
const CLI = "node_modules/polkadot-api/bin/cli.js";
/** How long a node may take to answer, in milliseconds. */
const PATIENCE = 10_000;

process.chdir(import.meta.dirname ?? ".");
const { engines } = JSON.parse(readFileSync("package.json", "utf8"));
const [major, minor] = engines.node.replace(">=", "").split(".").map(Number);
const [haveMajor, haveMinor] = process.versions.node.split(".").map(Number);
if (haveMajor < major || (haveMajor === major && haveMinor < minor)) {
  fail(`this is Node.js ${process.versions.node}, and the programs here need ${major}.${minor} or newer`);
}
if (!existsSync(CLI)) fail("the packages are missing: run `npm ci --ignore-scripts` first");

const config = JSON.parse(readFileSync(CONFIG, "utf8"));
const { poq } = config.entries;
poq.wsUrl = process.argv[2] ?? (process.env.POQ_URL || poq.wsUrl);
if (!/^wss?:$/.test(URL.parse(poq.wsUrl)?.protocol ?? "")) fail(`${poq.wsUrl} is not the URL of a node (ws://HOST:PORT)`, 2);
await nodeAnswers(poq.wsUrl).catch((error) => fail(`${error.message}; \`poq-node --dev\` starts one`));

const file = `.papi/types-${process.pid}.json`;
writeFileSync(file, JSON.stringify(config));
let status;
try {
  ({ status } = spawnSync(process.execPath, [CLI, "generate", "--config", file], { stdio: "inherit" }));
} finally {
  rmSync(file, { force: true });
}
process.exit(status ?? 1);

/** Resolves once the node has answered a question. The generator itself would wait for ever. */
function nodeAnswers(url) {
  const { promise, resolve, reject } = Promise.withResolvers();
  const socket = new WebSocket(url);
  const late = setTimeout(() => reject(new Error(`the node at ${url} did not answer within ${PATIENCE / 1000} s`)), PATIENCE);
  socket.onopen = () => socket.send(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "system_chain", params: [] }));
  socket.onmessage = () => resolve();
  socket.onerror = () => reject(new Error(`no node answers at ${url}`));
  return promise.finally(() => {
    clearTimeout(late);
    socket.close();
  });
}

function fail(what, code = 1) {
  console.error(`error: ${what}`);
  process.exit(code);
}
