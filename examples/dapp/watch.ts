// Prints the events of all requests, block by block, on polkadot-api: the beginning of an explorer.
//
//   node watch.ts [ws://127.0.0.1:9944]

import { text } from "proof-of-quality";
import { connect, USUAL_URL } from "./cli.ts";
import { printable } from "./printable.ts";

const { api } = await connect(process.argv[2] ?? USUAL_URL);
const { event, query } = api;

// Best blocks: earlier, but a fork can take them back ("drop").
event.ProofOfQuality.PhaseEntered.watchBest().subscribe(({ type, block, events }) => {
  if (type === "finalized") return;
  for (const { payload } of events) console.log(`${type} ${block.number}: request ${payload.request} is ${payload.phase.type}`);
});

// Finalized blocks: final.
event.ProofOfQuality.Settled.watch().subscribe(async ({ block, events }) => {
  for (const { payload: { request, best, paid, fee, refund } } of events) {
    const output = await query.ProofOfQuality.Outputs.getValue(request, best);
    console.log(`final ${block.number}: request ${request} "${printable(text(output))}" paid ${paid}, fee ${fee}, refund ${refund}`);
  }
});
