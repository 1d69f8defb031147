// Reads a request through a light client, which follows the chain by itself: no node is believed, and none has to serve RPC.
//
//   poq light-spec > light.json
//   node light.ts light.json REQUEST
//
// In a browser the same code works; boot nodes must then listen on a WebSocket.

import { readFile } from "node:fs/promises";
import { createClient } from "polkadot-api";
import { getSmProvider } from "polkadot-api/sm-provider";
import { start } from "polkadot-api/smoldot";
import { poq } from "proof-of-quality";
import { printable } from "./printable.ts";

const [file, number] = process.argv.slice(2);
if (!file || !number || !/^\d+$/.test(number)) {
  console.error("usage: node light.ts SPECIFICATION REQUEST");
  process.exit(2);
}

const smoldot = start({ maxLogLevel: 1 });
const chainSpec = await readFile(file, "utf8");
const chain = await smoldot.addChain({ chainSpec });
const client = createClient(getSmProvider(() => chain));
try {
  const { number: at, hash } = await client.getFinalizedBlock();
  // Whatever the runtime reads for this comes with a proof against the finalized block.
  const { view } = client.getTypedApi(poq);
  const request = await view.ProofOfQuality.request_info(BigInt(number), { at: hash });
  if (!request) throw new Error(`the chain has no request ${number} at block ${at}: never made, or forgotten`);
  console.log(`block ${at}: request ${number} is ${request.phase.type}`);
  const best = request.phase.type === "Settled" ? request.responses[request.phase.value.best] : undefined;
  if (best) console.log(printable(new TextDecoder().decode(best.output)));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
client.destroy();
await smoldot.terminate();
// The light client leaves timers behind.
process.exit();
