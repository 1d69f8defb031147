// Asks a question and follows it to settlement, on polkadot-js, for projects that use it already. New dApps do better with ask.ts.
//
//   node ask-pjs.ts "What is the capital of Peru?" [--url ws://127.0.0.1:9944] [--from //Bob] [--budget UNITS] [--json]
//
// Exit codes: 0 settled, 1 refused or failed, 2 wrong usage, 4 refunded.

import { inspect } from "node:util";
import { ApiPromise, WsProvider } from "@polkadot/api";
import type { SubmittableExtrinsic } from "@polkadot/api/types";
import { Keyring } from "@polkadot/keyring";
import type { KeyringPair } from "@polkadot/keyring/types";
import type { Bytes, Enum, Option, Result } from "@polkadot/types";
import type { DispatchError, EventRecord, SiLookupTypeId } from "@polkadot/types/interfaces";
import type { Codec, ISubmittableResult } from "@polkadot/types/types";
import { hexToString, stringToHex, u8aConcat, u8aToHex } from "@polkadot/util";
import { fail, readArgs, unitsOf, USUAL_URL } from "./cli.ts";
import { printable } from "./printable.ts";

const USAGE = 'node ask-pjs.ts "QUESTION" [--from //Bob] …; the head of this file has all of it';
const { values: options, positionals } = readArgs(
  {
    allowPositionals: true,
    options: {
      url: { type: "string", default: USUAL_URL },
      from: { type: "string", default: "//Bob" },
      budget: { type: "string" },
      json: { type: "boolean", default: false },
    },
  } as const,
  USAGE,
);
const [question, more] = positionals;
if (question === undefined || more !== undefined) fail(`one question, in quotes; usage: ${USAGE}`, 2);
const budget = unitsOf("--budget", options.budget);

// polkadot-js gives plain objects (`toJSON`) without types: these are the parts of view functions' answers that are used here.
type Model = { id: string; kind: string; retired: boolean; roster: { operator: string }[] };
type Part = { operator: string; output: string; paid: number | string; quality: number | null };
type Phase = { settled?: { at: number; best: number }; refunded?: { at: number; reason: string } };
type Request = {
  phase: Phase;
  budget: Record<"inference" | "scoring" | "fee", number | string>;
  responses: Part[];
  committees: Part[][];
};
type Estimate = { ok?: Request["budget"]; err?: { module?: { index: number; error: string } } };

/**
 * Calls a view function of the pallet at a block. polkadot-js has no call for that, but the metadata holds the id and the types of
 * each view function.
 */
async function view<T>(api: ApiPromise, block: Uint8Array, name: string, ...args: unknown[]): Promise<T> {
  const pallet = api.runtimeMetadata.asV16.pallets.find((pallet) => pallet.name.eq("ProofOfQuality"));
  const found = pallet?.viewFunctions.find((view) => view.name.eq(name));
  if (!found) throw new Error(`the chain has no view function ${name}`);
  const create = (type: SiLookupTypeId, value: unknown) => api.createType(api.registry.createLookupType(type), value);
  // As hex: polkadot-js takes a bare Uint8Array for bytes that have their length in front already.
  const input = u8aToHex(u8aConcat(...found.inputs.map(({ type }, index) => create(type, args[index]).toU8a())));
  const { call } = await api.at(block);
  const answer = (await call.runtimeViewFunction!.executeViewFunction!(found.id, input)) as Result<Bytes, Codec>;
  return create(found.output, answer.asOk.toU8a(true)).toJSON() as T;
}

/** The models of the registry. A view gives its entries in pages of at most 64; the next begins after the last one's id. */
async function allModels(api: ApiPromise, block: Uint8Array): Promise<Model[]> {
  const all: Model[] = [];
  for (;;) {
    const page = await view<Model[]>(api, block, "models", all.at(-1)?.id ?? null, 64);
    all.push(...page);
    if (page.length < 64) return all;
  }
}

/** Sends a transaction and waits until it is in a finalized block; an error of the chain has its name and its meaning. */
function send(api: ApiPromise, call: SubmittableExtrinsic<"promise">, from: KeyringPair): Promise<ISubmittableResult> {
  const { promise, resolve, reject } = Promise.withResolvers<ISubmittableResult>();
  const heard = (result: ISubmittableResult) => {
    if (result.dispatchError) reject(new Error(meaning(api, result.dispatchError)));
    else if (result.isError) reject(new Error(`the transaction is ${result.status.type}`));
    else if (result.isFinalized) resolve(result);
  };
  call.signAndSend(from, heard).catch(reject);
  return promise;
}

/** An error of a pallet by its name and its documentation, which are in the metadata. */
function meaning(api: ApiPromise, error: DispatchError): string {
  if (!error.isModule) return error.toString();
  const { name, docs } = api.registry.findMetaError(error.asModule);
  return `${name}: ${docs.join(" ").trim()}`;
}

/** Follows a request until it is over in a finalized block; tells of each phase as soon as a block has it. */
async function follow(api: ApiPromise, id: string): Promise<Request> {
  let last = "";
  const stop = await api.query.proofOfQuality!.requests!(id, (request: Option<Codec & { phase: Enum }>) => {
    const phase = request.unwrapOr(undefined)?.phase.type ?? "";
    if (phase !== last) console.error(phase);
    last = phase;
  });
  const { promise, resolve, reject } = Promise.withResolvers<Request>();
  const end = await api.rpc.chain.subscribeFinalizedHeads(async (head) => {
    try {
      const request = await view<Request | null>(api, head.hash, "request_info", id);
      if (request?.phase.settled || request?.phase.refunded) resolve(request);
    } catch (error) {
      reject(error);
    }
  });
  return promise.finally(() => [stop, end].forEach((stop) => (stop as unknown as () => void)()));
}

/** The sums that only the event of a request's end holds: the chain's part and the refund. */
async function sums(api: ApiPromise, id: string, at: number): Promise<{ fee: bigint; refund: bigint }> {
  const block = await api.at(await api.rpc.chain.getBlockHash(at));
  const records = (await block.query.system!.events!()) as unknown as EventRecord[];
  const ends = records.filter(({ event }) => event.section === "proofOfQuality" && /^(Settled|Refunded)$/.test(event.method));
  const fields = ends.map(({ event }) => event.data as unknown as Record<"request" | "fee" | "refund", Codec>);
  const end = fields.find(({ request }) => request.toString() === id);
  if (!end) throw new Error(`block ${at} does not say how request ${id} ended`);
  return { fee: BigInt(end.fee.toString()), refund: BigInt(end.refund.toString()) };
}

async function run(api: ApiPromise) {
  const from = new Keyring({ type: "sr25519" }).addFromUri(options.from);
  const best = (await api.rpc.chain.getHeader()).hash;
  const models = await allModels(api, best);
  const served = models.filter((model) => !model.retired && model.roster.length > 0);
  const generators = served.filter((model) => model.kind === "Generator").map((model) => model.id);
  const evaluator = served.find((model) => model.kind === "Evaluator")?.id;
  const [maxTokens, responders, committee] = [64, 2, 5];
  const estimate = await view<Estimate>(api, best, "estimate_budget", generators, evaluator, maxTokens, responders, committee);
  if (!estimate.ok) throw new Error(meaning(api, api.createType("DispatchError", estimate.err)));

  const prompt = stringToHex(question);
  const terms = {
    generators,
    evaluator,
    sampling: { maxTokens, temperatureMilli: 0, seed: 0 },
    responders,
    committee,
    minQuality: 0,
    budget: budget ?? sum(estimate.ok),
    // Random, so that nobody can tell ordinary requests from audits.
    audit: u8aToHex(crypto.getRandomValues(new Uint8Array(32))),
  };
  const sent = await send(api, api.tx.proofOfQuality!.requestInference!(prompt, terms), from);
  const field = (section: string, event: string, name: string) =>
    (sent.findRecord(section, event)?.event.data as unknown as Record<string, Codec> | undefined)?.[name]?.toString();
  const id = field("proofOfQuality", "Requested", "request");
  if (!id) throw new Error("the transaction succeeded, but no request came of it");
  const request = await follow(api, id);
  const { settled, refunded } = request.phase;
  const rest = await sums(api, id, (settled ?? refunded)!.at);
  show(id, request, rest, field("transactionPayment", "TransactionFeePaid", "actualFee") ?? "0");
  process.exitCode = request.phase.settled ? 0 : 4;
}

/** Prints the answer and the parts of the budget. A revealed answer is paid for, even if the request is refunded. */
function show(id: string, request: Request, rest: { fee: bigint; refund: bigint }, transactionFee: string) {
  const { settled, refunded } = request.phase;
  const winner = settled && request.responses[settled.best];
  const paid = [...request.responses, ...request.committees.flat()];
  const result = {
    request: id,
    state: settled ? "settled" : "refunded",
    reason: refunded?.reason,
    answer: winner && hexToString(winner.output),
    quality: winner && (winner.quality ?? 0) / 1_000_000,
    budget: sum(request.budget),
    paid: paid.map((part) => ({ operator: part.operator, amount: BigInt(part.paid) })),
    ...rest,
    transactionFee,
  };
  if (options.json) {
    console.log(JSON.stringify(result, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value), 2));
  } else {
    console.log(printable(inspect(result)));
  }
}

// Numbers that JavaScript cannot hold come as hex.
const sum = (budget: Request["budget"]) => BigInt(budget.inference) + BigInt(budget.scoring) + BigInt(budget.fee);

const provider = new WsProvider(options.url);
const api = new ApiPromise({ provider, noInitWarn: true });
try {
  await api.isReadyOrError.catch(() => {
    throw new Error(`no node answers at ${options.url}; \`poq-node --dev\` starts one`);
  });
  await run(api);
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
} finally {
  await api.disconnect();
}
