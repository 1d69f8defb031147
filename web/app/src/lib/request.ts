// A request as pages show it: the view of the chain, the reason for each payment, and the division of the budget.

import type { Message, RequestInfo, SamplingOptions } from "proof-of-quality";
import { span, text } from "./format.ts";
import { history, keptRequest } from "./history.ts";
import type { Chain } from "./node.ts";

export type OperatorInfo = NonNullable<Awaited<ReturnType<Chain["api"]["view"]["ProofOfQuality"]["operator_info"]>>>;
export type ClosedDuty = OperatorInfo["recent"][number];
export type Sums = { fee: bigint; refund: bigint };
export type Request = {
  request: RequestInfo;
  /** The question, as a conversation of one message or more. */
  messages: Message[];
  /** Options of sampling that the prompt carries. */
  options: SamplingOptions;
  /** Reasons for the pay, by operator; none where the chain has forgotten the duty. */
  reasons: Map<string, ClosedDuty>;
  /** `undefined` while the request is open, or where only an event says it and the node has forgotten that. */
  sums: Sums | undefined;
  /** Stake slashed in the block of the end, by operator. Empty where the node has forgotten that block. */
  slashes: Map<string, bigint>;
  /** Whether it comes from a history, because the chain has forgotten it. */
  isKept?: boolean;
};
export type Found = Request | { missing: true; made: bigint; retention: string };

/** Most operators that are asked for at a time. */
const AT_ONCE = 16;

/** Reads a request, and the facts about its end that other storage holds. `last` is the result of the previous reading. */
export async function readRequest(chain: Chain, id: bigint, last: Found | undefined): Promise<Found> {
  const { decodeConversation, isOver, optionsOf, read } = await import("proof-of-quality");
  const request = await read(chain.api, id);
  if (!request) {
    // Nothing happens any more to a request that the chain has forgotten.
    if (last && "request" in last && last.isKept) return last;
    const { ProofOfQuality } = chain.api.constants;
    const [made, retention] = await Promise.all([
      chain.api.query.ProofOfQuality.NextRequest.getValue({ at: "best" }),
      ProofOfQuality.Retention(),
    ]);
    const kept = history.value && id < made ? await keptRequest(id) : undefined;
    // Operators' latest duties outlive the request.
    if (kept) return { ...kept, reasons: await readReasons(chain, kept.request), isKept: true };
    return { missing: true, made, retention: span(Number(retention) * chain.blockMillis) };
  }
  const prompt = text(request.prompt);
  const [messages, options] = [decodeConversation(prompt), optionsOf(prompt)];
  if (!isOver(request.phase)) return { request, messages, options, reasons: new Map(), sums: undefined, slashes: new Map() };
  const known = last && "request" in last && closedAt(last.request) === closedAt(request) ? last : undefined;
  const reasons = known?.reasons.size ? known.reasons : await readReasons(chain, request);
  const { sums, slashes } = known ?? (await readEnd(chain, request));
  return { request, messages, options, reasons, sums, slashes };
}

async function readReasons(chain: Chain, request: RequestInfo): Promise<Map<string, ClosedDuty>> {
  const operators = [...request.responses, ...request.committees.flat()].map(({ operator }) => operator);
  const reasons = new Map<string, ClosedDuty>();
  for (let at = 0; at < operators.length; at += AT_ONCE) {
    const some = operators.slice(at, at + AT_ONCE);
    const infos = await Promise.all(some.map((who) => chain.api.view.ProofOfQuality.operator_info(who, { at: "best" })));
    for (const info of infos) {
      const duty = info?.recent.find((duty) => duty.request === request.id);
      if (info && duty) reasons.set(info.operator, duty);
    }
  }
  return reasons;
}

/** The division of the budget and the slashes of the end, as far as the record or the events of its block say them. */
async function readEnd(chain: Chain, request: RequestInfo): Promise<Pick<Request, "sums" | "slashes">> {
  let sums: Request["sums"];
  const slashes = new Map<string, bigint>();
  try {
    const at = await chain.ask<string>("chain_getBlockHash", closedAt(request));
    // Fails where the state is gone, without the complaint of polkadot-api on the console.
    await chain.ask("state_getRuntimeVersion", at);
    const { Settled, Refunded, Slashed } = chain.api.event.ProofOfQuality;
    const [settled, refunded, slashed] = await Promise.all([Settled.get(at), Refunded.get(at), Slashed.get(at)]);
    const end = [...settled, ...refunded].find(({ payload }) => payload.request === request.id);
    if (end) sums = { fee: end.payload.fee, refund: end.payload.refund };
    for (const { payload } of slashed) {
      if (payload.request === request.id) slashes.set(payload.operator, payload.amount);
    }
  } catch {
    // The node has forgotten the block.
  }
  if (!sums) {
    const { bill, models } = await import("proof-of-quality");
    const { fee, refund } = bill(request, await models(chain.api));
    if (fee !== undefined && refund !== undefined) sums = { fee, refund };
  }
  return { sums, slashes };
}

/** The last committee's scores of a response, by member. A member's scores are in the order of the responses that were revealed. */
export function scoresOf(request: RequestInfo, index: number): { operator: string; score: number }[] {
  const isRevealed = ({ work }: RequestInfo["responses"][number]) => work.type === "Revealed";
  const response = request.responses[index];
  if (!response || !isRevealed(response)) return [];
  const place = request.responses.slice(0, index).filter(isRevealed).length;
  return (request.committees.at(-1) ?? []).flatMap(({ operator, scores }) => {
    const score = scores[place];
    return score === undefined ? [] : [{ operator, score }];
  });
}

const USUAL = ["Requested", "Answering", "RevealingAnswers", "Selecting", "Scoring", "RevealingScores"] as const;

/** The phases of a request in their order, up to its end. A refund comes after the phase that its reason names. */
export function path({ phase, responses }: RequestInfo): RequestInfo["phase"]["type"][] {
  if (phase.type !== "Refunded") return [...USUAL, "Settled"];
  const last = {
    // Both draws can fail for these.
    NoRandomness: responses.length > 0 ? 4 : 1,
    Busy: responses.length > 0 ? 4 : 1,
    NoInferenceNode: 1,
    Cancelled: 1,
    NoCommitment: 2,
    NoOutput: 3,
    NoCommittee: 4,
    NoQuorum: 6,
  }[phase.value.reason.type];
  return [...USUAL.slice(0, last), "Refunded"];
}

/** The last block of the present phase's time; `undefined` for phases without one. */
export const deadline = ({ phase }: RequestInfo): number | undefined =>
  phase.value && "until" in phase.value ? phase.value.until : undefined;

/** Block in which a closed request ended. */
export const closedAt = ({ phase }: RequestInfo): number | undefined =>
  phase.type === "Settled" || phase.type === "Refunded" ? phase.value.at : undefined;
