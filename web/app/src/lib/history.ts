// What a history keeps of requests that the chain has forgotten, if the server of this page has one.

import { signal } from "@preact/signals";
import type { RequestInfo } from "proof-of-quality";
import type { Request } from "./request.ts";

/** Address of the API, with `/` at the end; `undefined`: there is none for the chain of this page. */
export const history = signal<string | undefined>();
/** The address that the page's server names. */
let served: string | undefined;

/** Takes the address that the page's server names. Another server's would be refused by the content security policy. */
export function useHistory(address: unknown) {
  if (typeof address === "string") history.value = served = new URL(address.replace(/\/*$/, "/"), location.href).href;
}

/** Leaves the history out of a page that asks a node of another chain. */
export async function checkHistory(genesis: string) {
  if (served === undefined) return;
  try {
    const status = (await (await fetch(`${served}status`)).json()) as { genesis: string | null };
    history.value = status.genesis === null || status.genesis === genesis ? served : undefined;
  } catch {
    // Pages say what they cannot read.
    history.value = served;
  }
}

type Json = Record<string, any>;

/** A generator as duels rank it; the fields of `GET /v1/models`. */
export type Ranked = {
  rank: number;
  model: string;
  name: string | null;
  strength: number;
  low: number;
  high: number;
  duels: number;
  quality: number | null;
  drawn: number;
  answered: number;
  refusals: number;
  latency: number | null;
  pay: string;
};
export type Ranking = { evaluator: string; name: string | null; duels: number; effective_duels: number; models: Ranked[] };
export type Rankings = { caveat: string; evaluators: Ranking[] };

/** An operator's day; the fields of `GET /v1/operators/{account}`. */
export type Day = {
  millis: number;
  answers: number;
  quality: number | null;
  scores: number;
  agreement: number | null;
  missed: number;
  earned: string;
  slashed: string;
};

/** A request in a list; fields of `GET /v1/requests`. */
export type Summary = {
  request: number;
  state: "requested" | "settled" | "refunded";
  requester: string;
  prompt: string;
  quality: number | null;
  budget: string;
  created: number;
};

/** Asks the history; `undefined` where it has nothing. */
async function get<Answer>(path: string): Promise<Answer | undefined> {
  const response = await fetch(history.value + path);
  if (response.status === 404) return undefined;
  if (!response.ok) throw new Error(`the history says ${response.status}`);
  return (await response.json()) as Answer;
}

export const rankings = () => get<Rankings>("models");

/** An operator's days, the newest first. */
export const days = async (account: string) => (await get<{ days: Day[] }>(`operators/${account}`))?.days ?? [];

/** Requests of the history with numbers below `before`, the newest first. */
export async function summaries(before: bigint | undefined, limit: number, filters: { state?: string | undefined; requester?: string | undefined } = {}) {
  const query = new URLSearchParams({ limit: String(limit) });
  if (before !== undefined) query.set("before", String(before));
  for (const [name, value] of Object.entries(filters)) if (value) query.set(name, value);
  return (await get<{ data: Summary[] }>(`requests?${query}`))?.data ?? [];
}

/** A request that has ended, in the shape of the chain's own view. */
export async function keptRequest(id: bigint): Promise<Request | undefined> {
  const json = await get<Json>(`requests/${id}`);
  if (!json || !["settled", "refunded"].includes(json["state"])) return undefined;
  const { decodeConversation, optionsOf } = await import("proof-of-quality");
  const request = fromJson(json);
  const sums = json["fee"] === null ? undefined : { fee: BigInt(json["fee"]), refund: BigInt(json["refund"]) };
  return {
    request,
    messages: decodeConversation(json["prompt"]),
    options: optionsOf(json["prompt"]),
    reasons: new Map(),
    sums,
    slashes: slashesOf(json),
  };
}

function slashesOf(json: Json): Map<string, bigint> {
  const found = new Map<string, bigint>();
  for (const { kind, operator, detail } of json["happenings"] as Json[]) {
    if (kind === "slashed") found.set(operator, (found.get(operator) ?? 0n) + BigInt(detail.amount));
  }
  return found;
}

const parts = (fraction: number) => Math.round(fraction * 1e6);
const maybe = (fraction: number | null) => (fraction === null ? undefined : parts(fraction));
const encode = (text: string) => new TextEncoder().encode(text);
const model = (hex: string) => `0x${hex}`;

/** The state of work by its name in JSON: `not_revealed` is `NotRevealed`. */
function work(name: string, failure?: string | null) {
  const type = name.replace(/(^|_)([a-z])/g, (_, __, letter: string) => letter.toUpperCase());
  return { type, value: failure ? { type: failure, value: undefined } : undefined };
}

/** The chain's view of a request, made of the history's JSON, which is that of `poq request --json`. */
export function fromJson(json: Json): RequestInfo {
  const { created, since, closed } = json["blocks"];
  const phase =
    json["state"] === "settled"
      ? { type: "Settled", value: { at: closed, best: json["best"] } }
      : { type: "Refunded", value: { at: closed, reason: { type: json["refund_reason"], value: undefined } } };
  const committees: Json[][] = [];
  for (const member of json["committee"] as Json[]) {
    (committees[member["round"]] ??= []).push({
      operator: member["operator"],
      weight: BigInt(member["weight"]),
      work: work(member["work"]),
      scores: member["scores"].map(parts),
      latency: parts(member["latency"] ?? 0),
      agreement: maybe(member["agreement"]),
      paid: BigInt(member["paid"]),
    });
  }
  for (let round = 0; round < committees.length; round++) committees[round] ??= [];
  const { inference, scoring, fee } = json["budget_parts"];
  const request = {
    id: BigInt(json["request"]),
    requester: json["requester"],
    prompt: encode(json["prompt"]),
    generators: json["generators"].map(({ id }: Json) => model(id)),
    evaluator: model(json["evaluator"].id),
    sampling: {
      max_tokens: json["sampling"].max_tokens,
      temperature_milli: Math.round(json["sampling"].temperature * 1e3),
      seed: json["sampling"].seed,
    },
    responders: json["responders"],
    committee_size: json["committee_size"],
    min_quality: parts(json["min_quality"]),
    budget: { inference: BigInt(inference), scoring: BigInt(scoring), fee: BigInt(fee) },
    bonus: BigInt(json["bonus"]),
    tries: json["tries"],
    created,
    phase,
    since,
    round: Math.max(committees.length - 1, 0),
    audited: json["audited"],
    responses: json["responses"].map((response: Json) => ({
      operator: response["operator"],
      model: model(response["model"]),
      work: work(response["work"], response["failure"]),
      output: encode(response["output"] ?? ""),
      latency: parts(response["latency"] ?? 0),
      quality: maybe(response["quality"]),
      paid: BigInt(response["paid"]),
    })),
    committees,
  };
  return request as unknown as RequestInfo;
}
