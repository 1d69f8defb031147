// The chain: find models, estimate, ask, follow, read, and the bill.

import type { poq } from "#descriptors";
import { AccountId, type ErrorsFromPalletsDef, InvalidTxError, type PolkadotSigner, type TypedApi } from "polkadot-api";
import { distinctUntilChanged, filter, firstValueFrom, merge } from "rxjs";
import { encodeConversation, type Message } from "./conversation.ts";

export type Api = TypedApi<typeof poq>;
export type RequestInfo = NonNullable<Awaited<ReturnType<Api["view"]["ProofOfQuality"]["request_info"]>>>;
export type Phase = RequestInfo["phase"];
type Transaction = Pick<ReturnType<Api["tx"]["ProofOfQuality"]["request_inference"]>, "signAndSubmit">;
export type Model = Awaited<ReturnType<Api["view"]["ProofOfQuality"]["models"]>>[number];
export type Terms = Parameters<Api["tx"]["ProofOfQuality"]["request_inference"]>[0]["terms"];
type Reason = (Phase & { type: "Refunded" })["value"]["reason"]["type"];
type ErrorName = keyof ErrorsFromPalletsDef<(typeof poq)["descriptors"]["pallets"]>["ProofOfQuality"];

/** A text, or a conversation whose last message is the user's. */
export type Question = string | readonly Message[];

/** The user's choices; each has a default. */
export type Wishes = {
  /** Generators that may answer, by id (`0x…`) or name, 1 to 8; by default all that have room. */
  models?: string[];
  /** Temperature, 0 (greedy) to 2. */
  temperature?: number;
  /** Seed of the sampler, a whole number below 2^32. */
  seed?: number;
  /** Most tokens in the answer, 1 to 4,096. They are paid for whether used or not. */
  maxTokens?: number;
  /** How many inference nodes answer, 1 to 8. */
  responders?: number;
  /** How many quality validators score the answers, `min_committee` of the chain's parameters (3) to 63. */
  committee?: number;
  /** Answers below this score, 0 to 1, that are also worse than usual earn the base part of their price; the rest goes to the chain. */
  minQuality?: number;
  /** Most to pay, in units of 10^-12 POQ; by default the estimate. More is a bonus for the inference nodes. */
  budget?: bigint;
};

/** The parts of a budget: `paid + fee + refund` equals the budget. */
export type Bill = {
  budget: bigint;
  paid: { operator: string; role: "answered" | "scored"; amount: bigint }[];
  /** For the chain. `undefined` (as `refund` is then) where only the event of the request's end says it, and that was not seen. */
  fee: bigint | undefined;
  refund: bigint | undefined;
};

/** An estimate: terms to ask with, and how their budget divides. */
export type Estimate = { terms: Terms; inference: bigint; scoring: bigint; fee: bigint };

/** The outcome of a question: `answer`, `quality` (0 to 1) and `by` (the operator) are `undefined` if the request was refunded. */
export type Answer = {
  id: bigint;
  answer: string | undefined;
  quality: number | undefined;
  by: string | undefined;
  request: Closed;
  bill: Bill;
  /** Fee of the transaction, in units of 10^-12 POQ. It is not a part of the budget. */
  transactionFee: bigint;
};

/** A closed request, with the sums in the event of its end, if that event was seen. */
export type Closed = RequestInfo & { sums?: { fee: bigint; refund: bigint } };

/** A refusal by the chain or by the pool of transactions. `message` begins with the name of the error. */
export class Refused extends Error {
  override name = "Refused";
}

// Fixed-point numbers of the chain are integers; a Permill counts millionths.
const PERMILL = 1_000_000;

// A view gives its entries in pages of at most 64.
const PAGE = 64;

/** The models of the registry, page by page. `operators` has pages, too. */
export async function models(api: Api): Promise<Model[]> {
  const all: Model[] = [];
  for (;;) {
    const page = await api.view.ProofOfQuality.models(all.at(-1)?.id, PAGE, { at: "best" });
    all.push(...page);
    if (page.length < PAGE) return all;
  }
}

/**
 * Asks a question and waits for the answer: `terms`, `ask`, `follow` and `best` in one call. A refunded request is no error: its answer is
 * `undefined`, and `request.phase` says why.
 */
export async function answer(
  api: Api,
  signer: PolkadotSigner,
  question: Question,
  wishes: Wishes = {},
  onPhase: (phase: Phase, block: number) => void = () => {},
): Promise<Answer> {
  const requester = AccountId().dec(signer.publicKey);
  const { id, transactionFee } = await ask(api, signer, question, await terms(api, requester, question, wishes));
  const request = await follow(api, id, onPhase);
  const found = best(request);
  return { id, answer: found?.answer, quality: found?.quality, by: found?.by, request, bill: bill(request), transactionFee };
}

/** A request that keeps the chain's rules. Its budget is the chain's estimate unless the user names one. */
export async function terms(api: Api, requester: string, question: Question, wishes: Wishes = {}): Promise<Terms> {
  return (await estimate(api, requester, question, wishes)).terms;
}

/** As `terms`, with the parts of the chain's estimate. Costs nothing, and refuses for most of the reasons for which the chain would. */
export async function estimate(api: Api, requester: string, question: Question, wishes: Wishes = {}): Promise<Estimate> {
  const prompt = encodeConversation(question);
  const bytes = new TextEncoder().encode(prompt).length;
  const minQuality = wishes.minQuality ?? 0;
  // Checked before a wallet signs: a refused request also costs the fee of its transaction.
  if (!/[^\s\p{Cc}\p{Cf}]/u.test(prompt)) throw refusedAs("EmptyPrompt");
  if (bytes > 8_192) throw refusedAs("PromptTooLong");
  if (!(minQuality >= 0 && minQuality <= 1)) throw new Refused("a minimum quality is a number from 0 to 1");
  const served = (await models(api)).filter((model) => !model.retired && model.roster.length > 0);
  const maxTokens = wishes.maxTokens ?? 64;
  // Each byte of a question counts as a token. If no generator has room, the chain refuses the request.
  const tokens = bytes + maxTokens;
  const all = named(served.filter((model) => model.kind.type === "Generator"), wishes.models);
  const fitting = all.filter((model) => tokens <= model.context);
  const generators = fitting.length > 0 ? fitting : all;
  const evaluator = served.find((model) => model.kind.type === "Evaluator");
  if (generators.length === 0 || !evaluator) throw new Refused("nobody serves a generator and an evaluator now");

  // An operator has one part in a request at most, and none in its own request.
  const serving = (some: Model[]) =>
    new Set(some.flatMap((model) => model.roster.map((place) => place.operator)).filter((who) => who !== requester));
  const nodes = serving(generators);
  const responders = wishes.responders ?? Math.max(1, Math.min(nodes.size, 2));
  const scorers = serving([evaluator]);
  const both = Math.min(nodes.intersection(scorers).size, responders);
  const { min_committee } = await api.query.ProofOfQuality.EconomicParameters.getValue({ at: "best" });
  const committee = wishes.committee ?? Math.max(min_committee, Math.min(scorers.size - both, 5));

  const ids = generators.map((model) => model.id).slice(0, 8);
  const { success, value } = await api.view.ProofOfQuality.estimate_budget(
    ids,
    evaluator.id,
    maxTokens,
    responders,
    committee,
    { at: "best" },
  );
  if (!success) throw refused(value);
  const { inference, scoring, fee } = value;
  const terms = {
    generators: ids,
    evaluator: evaluator.id,
    sampling: {
      max_tokens: maxTokens,
      temperature_milli: Math.round((wishes.temperature ?? 0) * 1000),
      seed: wishes.seed ?? 0,
    },
    responders,
    committee,
    min_quality: Math.round(minQuality * PERMILL),
    budget: wishes.budget ?? inference + scoring + fee,
    // Random, so that nobody can tell ordinary requests from audits.
    audit: hex(crypto.getRandomValues(new Uint8Array(32))),
  };
  return { terms, inference, scoring, fee };
}

/** The generators with these names or ids, which somebody must serve; all of them if none are named. */
function named(generators: Model[], wanted: string[] | undefined): Model[] {
  return (
    wanted?.map((name) => {
      const found = generators.find((model) => model.id === name || text(model.name) === name);
      if (!found) throw new Refused(`nobody serves a generator "${name}" now; \`models\` lists them`);
      return found;
    }) ?? generators
  );
}

/** Sends a transaction and waits until a finalized block has it. */
async function send(call: Transaction, signer: PolkadotSigner) {
  const included = await call.signAndSubmit(signer).catch((error: unknown) => {
    throw error instanceof InvalidTxError ? refused(error.error) : error;
  });
  if (!included.ok) throw refused(included.dispatchError);
  return included;
}

/** Puts the budget on hold and asks. Returns the request's number once the question is in a finalized block. */
export async function ask(api: Api, signer: PolkadotSigner, question: Question, terms: Terms) {
  const prompt = new TextEncoder().encode(encodeConversation(question));
  const included = await send(api.tx.ProofOfQuality.request_inference({ prompt, terms }), signer);
  const [requested] = api.event.ProofOfQuality.Requested.filter(included.events);
  const [charged] = api.event.TransactionPayment.TransactionFeePaid.filter(included.events);
  if (!requested) throw new Error("the transaction succeeded, but no request came of it");
  return { id: requested.payload.request, transactionFee: charged?.payload.actual_fee ?? 0n };
}

/**
 * Cancels a request of the signer for which nobody was drawn. The chain keeps its part, and the rest of the budget is free again once the
 * transaction is in a finalized block, which this waits for.
 */
export async function cancel(api: Api, signer: PolkadotSigner, id: bigint) {
  await send(api.tx.ProofOfQuality.cancel_request({ request: id }), signer);
}

/**
 * Follows a request to its end and returns it as it then stands.
 *
 * `onPhase` is called with every phase as soon as a block has it. A fork can take that block back, so use it for progress bars only.
 * The returned request is that of a finalized block.
 */
export async function follow(
  api: Api,
  id: bigint,
  onPhase: (phase: Phase, block: number) => void = () => {},
): Promise<Closed> {
  const { Requests } = api.query.ProofOfQuality;
  const phases = Requests.watchValue(id, { at: "best" }).pipe(
    distinctUntilChanged((last, next) => last.value?.phase.type === next.value?.phase.type),
  );
  const progress = phases.subscribe({
    next: ({ value, block }) => value && onPhase(value.phase, block.number),
    // A lost connection ends the subscription below as well, which reports it.
    error: () => {},
  });
  let sums: Closed["sums"];
  const { Settled, Refunded } = api.event.ProofOfQuality;
  const ends = merge(Settled.watchBest(), Refunded.watchBest()).subscribe({
    next: ({ type, events }) => {
      const end = events.find(({ payload }) => payload.request === id);
      if (end && type !== "drop") sums = end.payload;
    },
    error: () => {},
  });
  try {
    const over = Requests.watchValue(id, { at: "finalized" }).pipe(filter(({ value }) => !value || isOver(value.phase)));
    await firstValueFrom(over);
  } finally {
    progress.unsubscribe();
    ends.unsubscribe();
  }
  const request = await api.view.ProofOfQuality.request_info(id, { at: "finalized" });
  if (!request) throw new Error(`the chain has no request ${id}: it was never made, or it was long ago and is pruned`);
  return sums ? { ...request, sums } : request;
}

/** A request as it stands in the newest block, which a fork can take back; `undefined` if the chain has none of this number. */
export const read = (api: Api, id: bigint) => api.view.ProofOfQuality.request_info(id, { at: "best" });

/** Whether a request is closed. */
export const isOver = (phase: Phase) => phase.type === "Settled" || phase.type === "Refunded";

/** The best answer of a settled request and its quality, 0 to 1. */
export function best(request: RequestInfo) {
  if (request.phase.type !== "Settled") return undefined;
  const response = request.responses[request.phase.value.best];
  return response && { answer: text(response.output), quality: (response.quality ?? 0) / PERMILL, by: response.operator };
}

/**
 * The parts of the budget of a closed request. Those that `follow` did not see the end of are known as far as the request itself says
 * them: `models`, the chain's, tell whether its evaluator is noisy, so that pay may have gone to the chain.
 */
export function bill(request: Closed, models: Model[] = []): Bill {
  const { inference, scoring, fee: usual } = request.budget;
  const budget = inference + scoring + usual;
  const answered = request.responses.map(({ operator, paid }) => ({ operator, role: "answered" as const, amount: paid }));
  const members = request.committees.flat();
  const scored = members.map(({ operator, paid }) => ({ operator, role: "scored" as const, amount: paid }));
  const paid = [...answered, ...scored];
  if (request.sums) return { budget, paid, fee: request.sums.fee, refund: request.sums.refund };

  // The fee is owed once an operator was drawn, and by who cancels. `waiting_fee` for draws that were put off, and pay that `min_quality`
  // withheld or that operators forwent, are added to it.
  const isBelow = ({ work, quality }: (typeof request.responses)[number]) =>
    request.min_quality > 0 && work.type === "Revealed" && (quality ?? 0) < request.min_quality;
  const isPlain = request.phase.type !== "Settled" || models.find(({ id }) => id === request.evaluator)?.noise === 0;
  if (!isPlain || request.tries > 0 || request.responses.some(isBelow)) return { budget, paid, fee: undefined, refund: undefined };
  const isCancelled = request.phase.type === "Refunded" && request.phase.value.reason.type === "Cancelled";
  const fee = isCancelled || request.responses.length > 0 ? usual : 0n;
  return { budget, paid, fee, refund: budget - fee - paid.reduce((sum, { amount }) => sum + amount, 0n) };
}

/** Text of the chain: UTF-8 bytes. */
export const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

const hex = (bytes: Uint8Array) => `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}` as const;

/** Messages for users, by the pallet's names of errors. The compiler reports a name that is gone. */
const MEANING: Partial<Record<ErrorName, string>> = {
  EmptyPrompt: "ask something.",
  PromptTooLong: "a question has at most 8,192 bytes of UTF-8.",
  NotUtf8: "a question is UTF-8.",
  InvalidSampling: "an answer has 1 to 4,096 tokens, and the temperature is at most 2.",
  InvalidResponders: "1 to 8 nodes can answer.",
  InvalidCommittee: "at least `min_committee` quality validators (3) and at most 63 can score.",
  InvalidModelList: "name 1 to 8 generators, each once.",
  UnknownModel: "the chain has no such model; the view function `models` lists them.",
  WrongModelKind: "generators answer, evaluators score.",
  ModelRetired: "the model takes no more requests; take another.",
  ContextTooSmall: "the question's bytes and the answer's tokens do not fit into a model: ask shorter, for fewer tokens, or another.",
  NotEnoughInferenceNodes: "fewer nodes than that serve these generators.",
  NotEnoughQualityValidators: "fewer quality validators than that serve this evaluator.",
  BudgetTooSmall: "the budget is below the price of the work and the chain's part.",
  NotRequester: "only the account that asked can cancel a request.",
  NotWaiting: "somebody was drawn to answer already, so the request ends by itself.",
  InsufficientBalance: "the account's free balance does not cover the budget.",
};

/** Reasons of a refund, in words for users. The compiler reports a missing reason. */
export const REASON: Record<Reason, string> = {
  NoRandomness: "the chain had no randomness to draw by",
  NoInferenceNode: "no inference node could be drawn",
  NoCommitment: "no inference node answered in time",
  NoOutput: "no inference node revealed its answer in time",
  NoCommittee: "too few quality validators could be drawn",
  NoQuorum: "too few quality validators revealed their scores",
  Busy: "all operators had as much open work as they take at a time; ask again later, or with a larger budget",
  Cancelled: "its requester cancelled it before anybody was drawn",
};

/** Messages for users about transactions that the pool refuses. */
const INVALID: Record<string, string> = {
  Payment: "the account cannot pay the transaction's fee.",
  Stale: "another transaction of this account came first; try again.",
  Future: "earlier transactions of this account are missing.",
  BadProof: "the signature does not fit: was it made for another chain, or another version of it?",
  AncientBirthBlock: "the transaction was signed too long ago; sign it again.",
};

const refusedAs = (name: ErrorName) => new Refused(`${name}: ${MEANING[name]}`);

/** An error of a pallet has its name at `value.value.type`; others, of the pool say, at `type` or `value.type`. */
function refused(error: { type: string; value?: unknown }): Refused {
  const names: string[] = [];
  for (let at: unknown = error; isVariant(at); at = at.value) names.push(at.type);
  const name = names.at(-1) ?? "Unknown";
  const meaning = error.type === "Module" ? MEANING[name as ErrorName] : INVALID[name];
  return new Refused(`${name}: ${meaning ?? `the chain says ${names.join(".")}.`}`);
}

const isVariant = (value: unknown): value is { type: string; value?: unknown } =>
  typeof value === "object" && value !== null && "type" in value && typeof value.type === "string";
