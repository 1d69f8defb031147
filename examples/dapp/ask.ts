// Asks a question and follows it to settlement, on polkadot-api.
//
//   node ask.ts "What is the capital of Peru?" [--url ws://127.0.0.1:9944] [--from //Bob] [--json]
//               [--max-tokens 64] [--responders 2] [--committee 5] [--min-quality 0.5] [--budget UNITS]
//
// Exit codes: 0 settled, 1 refused or failed, 2 wrong usage, 4 refunded.

import { ask, best, bill, follow, REASON, terms } from "proof-of-quality";
import { devAccount } from "proof-of-quality/dev";
import { connect, countOf, fail, numberOf, readArgs, unitsOf, USUAL_URL } from "./cli.ts";
import { printable } from "./printable.ts";

const USAGE = 'node ask.ts "QUESTION" [--from //Bob] …; the head of this file has all of it';
const { values: options, positionals } = readArgs(
  {
    allowPositionals: true,
    options: {
      url: { type: "string", default: USUAL_URL },
      from: { type: "string", default: "//Bob" },
      json: { type: "boolean", default: false },
      "max-tokens": { type: "string" },
      responders: { type: "string" },
      committee: { type: "string" },
      "min-quality": { type: "string" },
      budget: { type: "string" },
    },
  } as const,
  USAGE,
);
const [question, more] = positionals;
if (question === undefined) fail(`the question is missing; usage: ${USAGE}`, 2);
if (more !== undefined) fail(`"${more}" is a second question: put one into quotes; usage: ${USAGE}`, 2);
if (!options.from.startsWith("//")) fail(`--from takes a development account such as //Bob, not "${options.from}"`, 2);
const wishes = {
  maxTokens: countOf("--max-tokens", options["max-tokens"]),
  responders: countOf("--responders", options.responders),
  committee: countOf("--committee", options.committee),
  minQuality: numberOf("--min-quality", options["min-quality"]),
  budget: unitsOf("--budget", options.budget),
};

const POQ = 10n ** 12n;
const amount = (units: bigint) => `${units / POQ}.${String(units % POQ).padStart(12, "0")} POQ`;

// A key that everybody knows, for a development chain. In a web page a wallet signs instead: see wallet.ts.
const { signer, address: requester } = devAccount(options.from);

const { api, close } = await connect(options.url);
try {
  const wanted = await terms(api, requester, question, wishes);
  console.error(`${amount(wanted.budget)} go on hold`);
  const { id, transactionFee } = await ask(api, signer, question, wanted);
  console.error(`request ${id} is on the chain; the transaction cost ${amount(transactionFee)}`);
  const request = await follow(api, id, (phase, block) => console.error(`block ${block}: ${phase.type}`));

  const { phase } = request;
  const answer = best(request);
  const { budget, paid, fee, refund } = bill(request);
  if (options.json) {
    const units = (_: string, value: unknown) => (typeof value === "bigint" ? value.toString() : value);
    const state = phase.type.toLowerCase();
    const reason = phase.type === "Refunded" ? phase.value.reason.type : undefined;
    const result = { request: id, state, reason, ...answer, budget, paid, fee, refund, transactionFee };
    console.log(JSON.stringify(result, units, 2));
  } else {
    if (answer) console.log(`${printable(answer.answer)}\n\nQuality ${answer.quality}, by ${answer.by}`);
    if (phase.type === "Refunded") console.log(`No answer: ${REASON[phase.value.reason.type]}.`);
    for (const part of paid) console.log(`${part.operator} ${part.role.padEnd(8)} ${amount(part.amount)}`);
    const rest = (units: bigint | undefined) => (units === undefined ? "an unknown part" : amount(units));
    console.log(`Of the budget of ${amount(budget)}, the chain took ${rest(fee)}, and ${rest(refund)} came back.`);
  }
  process.exitCode = phase.type === "Settled" ? 0 : 4;
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
} finally {
  close();
}
