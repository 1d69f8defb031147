// The connection to a node, made anew whenever it is lost, and the values that all pages share.

import { batch, effect, signal, untracked } from "@preact/signals";
import type { PolkadotClient } from "polkadot-api";
import { useEffect, useState } from "preact/hooks";
import type { Api, Model } from "proof-of-quality";
import { t } from "../strings.ts";
import { checkHistory, useHistory } from "./history.ts";

/** A chain, as long as the connection to its node lasts. */
export type Chain = {
  api: Api;
  client: PolkadotClient;
  /** Calls a method of the node that every Substrate node has. */
  ask: <Reply>(method: string, ...params: unknown[]) => Promise<Reply>;
  genesis: string;
  name: string;
  /** Whether development accounts, whose keys everybody knows, may sign. */
  isDevelopment: boolean;
  /** Milliseconds between blocks. */
  blockMillis: number;
};

/** State of the connection: `lost` is over once a node answers again. */
export type Status = "connecting" | "connected" | "lost";

export const status = signal<Status>("connecting");
export const chain = signal<Chain | undefined>();
/** Numbers of the newest blocks, and the time at which the best one arrived here. */
export const head = signal<{ best: number; finalized: number; seen: number } | undefined>();
export const endpoint = signal("");
/** Whether the page follows the chain by itself, in place of believing the node. */
export const alone = signal(false);
/** Models by id. Read again every minute: names do not change. */
export const registry = signal<Map<string, Model>>(new Map());
/** Names of the development accounts by address, on chains that have them. */
export const names = signal<Map<string, string>>(new Map());

const USUAL_ENDPOINT = "ws://127.0.0.1:9944";
const STORED = "endpoint";
/** The endpoint that this page's server names. */
let served = USUAL_ENDPOINT;
/** Counts the connections: whatever belongs to an older one is ignored. */
let turn = 0;

/** Milliseconds before the first and between the later attempts to connect. */
const RETRY = [500, 1_000, 2_000, 4_000];
/** A node that has not answered for so many milliseconds counts as gone. */
const PATIENCE = 20_000;
const REGISTRY_BLOCKS = 30;
/** Metadata by the hash of the runtime's code, so that a new connection need not fetch it again. */
const metadata = new Map<string, Uint8Array>();

/** Whether a text is an address of a node. */
export function isEndpoint(url: string): boolean {
  const scheme = URL.canParse(url) ? new URL(url).protocol : "";
  return scheme === "ws:" || scheme === "wss:";
}

/** Finds out which node to ask, and connects. */
export async function start() {
  try {
    const answer = await fetch("config.json");
    const config: unknown = answer.ok ? await answer.json() : undefined;
    const named = config && typeof config === "object" && "endpoint" in config ? config.endpoint : undefined;
    if (config && typeof config === "object" && "history" in config) useHistory(config.history);
    if (typeof named === "string" && isEndpoint(named)) served = named;
  } catch {
    // A static host need not have the file.
  }
  const stored = localStorage.getItem(STORED);
  connect(stored && isEndpoint(stored) ? stored : served);
}

/** The endpoint without a choice of the user. */
export const usualEndpoint = () => served;

/** Takes another node, now and at the next visit; `undefined`: the one that the server of the page names. */
export function choose(url: string | undefined) {
  if (url === undefined || url === served) localStorage.removeItem(STORED);
  else localStorage.setItem(STORED, url);
  connect(url ?? served);
}

/**
 * Goes on with a light client, which runs in the page and checks everything. It begins with the finalized block that the present node
 * names, and reaches nodes at the addresses that the node names, if browsers can.
 */
export async function followAlone() {
  const from = chain.value;
  if (!from) throw new Error(t.connection.connecting);
  const [specification, addresses] = await Promise.all([
    from.ask<{ bootNodes: string[] }>("sync_state_genSyncSpec", true),
    from.ask<string[]>("system_localListenAddresses"),
  ]);
  const bootNodes = [...specification.bootNodes, ...addresses].filter((address) => /\/wss?\//.test(address));
  if (bootNodes.length === 0) throw new Error(t.network.noWebSocket);
  connect(endpoint.value, JSON.stringify({ ...specification, bootNodes }));
}

/** Connects to a node; with a specification, to the chain by a light client. */
function connect(url: string, specification?: string) {
  turn += 1;
  batch(() => {
    endpoint.value = url;
    alone.value = specification !== undefined;
    status.value = "connecting";
    forget();
  });
  void keep(url, turn, specification);
}

function forget() {
  chain.value = undefined;
  head.value = undefined;
  registry.value = new Map();
  names.value = new Map();
}

/** Connects until another endpoint is chosen. */
async function keep(url: string, mine: number, specification: string | undefined) {
  for (let failures = 0; mine === turn; ) {
    const answered = await once(url, mine, specification);
    if (mine !== turn) return;
    failures = answered ? 0 : failures + 1;
    status.value = "lost";
    await new Promise((resolve) => setTimeout(resolve, RETRY[Math.min(failures, RETRY.length - 1)]));
  }
}

/** Lets the browser do what waits: on slow processors each step of a connection takes as long as a frame or more. */
const pause = () => new Promise<void>((next) => setTimeout(next));

/** One connection, to its end. Returns whether the node answered. */
async function once(url: string, mine: number, specification: string | undefined): Promise<boolean> {
  // Loaded here, after the first paint.
  const [{ createWsClient, WsEvent }, { poq }] = await Promise.all([import("polkadot-api/ws"), import("proof-of-quality")]);
  await pause();
  const ended = Promise.withResolvers<void>();
  const cache = {
    getMetadata: async (code: string) => metadata.get(code) ?? null,
    setMetadata: (code: string, bytes: Uint8Array) => void metadata.set(code, bytes),
  };
  let answered = false;
  const stops: (() => void)[] = [];
  const client =
    specification === undefined
      ? createWsClient(url, {
          ...cache,
          timeout: PATIENCE,
          onStatusChanged: ({ type }) => {
            if (type === WsEvent.ERROR || type === WsEvent.CLOSE) ended.resolve();
          },
        })
      : await lightClient(specification, cache, stops);
  const end = () => ended.resolve();
  const work = async () => {
    const ask = <Reply>(method: string, ...params: unknown[]) => client._request<Reply>(method, params);
    const [genesis, name, type] = await Promise.all([
      ask<string>("chain_getBlockHash", 0),
      ask<string>("system_chain"),
      ask<string>("system_chainType"),
    ]);
    await pause();
    const api: Api = client.getTypedApi(poq);
    const [millis] = await Promise.all([api.constants.ProofOfQuality.BlockMillis(), checkHistory(genesis)]);
    const blockMillis = Number(millis);
    await pause();
    if (mine !== turn) return;
    answered = true;
    const isDevelopment = type === "Development";
    const found: Chain = { api, client, ask, genesis, name, isDevelopment, blockMillis };
    batch(() => {
      // A node that lost its data is another chain.
      if (chain.value && chain.value.genesis !== genesis) forget();
      chain.value = found;
      status.value = "connected";
    });
    const best = client.bestBlocks$.subscribe({
      next: (blocks) => {
        const [newest] = blocks;
        if (newest && chain.value === found) head.value = { best: newest.number, finalized: blocks.at(-1)?.number ?? 0, seen: Date.now() };
      },
      error: end,
    });
    stops.push(() => best.unsubscribe());
    stops.push(refreshRegistry(found));
    if (isDevelopment) void nameAccounts(found);
  };
  work().catch(end);
  // Another choice of the user ends this connection, too.
  const watch = effect(() => {
    if (endpoint.value !== url || alone.value !== (specification !== undefined)) end();
  });
  await ended.promise;
  watch();
  client.destroy();
  for (const stop of stops) stop();
  return answered;
}

/** A client of a light client, which `stops` end. */
async function lightClient(chainSpec: string, cache: object, stops: (() => void)[]) {
  const [{ createClient }, { getSmProvider }, { start: startLight }] = await Promise.all([
    import("polkadot-api"),
    import("polkadot-api/sm-provider"),
    import("polkadot-api/smoldot"),
  ]);
  const smoldot = startLight({ maxLogLevel: 1 });
  stops.push(() => void smoldot.terminate());
  const added = await smoldot.addChain({ chainSpec });
  return createClient(getSmProvider(() => added), cache);
}

function refreshRegistry(of: Chain) {
  let next = 0;
  return effect(() => {
    const best = head.value?.best;
    if (best === undefined || best < next) return;
    next = best + REGISTRY_BLOCKS;
    untracked(async () => {
      try {
        const { models } = await import("proof-of-quality");
        const all = await models(of.api);
        if (chain.value === of) registry.value = new Map(all.map((model) => [model.id, model]));
      } catch {
        // The next block tries again.
        next = best + 1;
      }
    });
  });
}

async function nameAccounts(of: Chain) {
  const { developmentNames } = await import("./development.ts");
  if (chain.value === of) names.value = developmentNames();
}

/** The latest value, and the reason for which the newest reading failed. */
export type Live<Value> = { value?: Value; error?: Error };

/**
 * Reads from the chain, and again at every block (or every few): `read` says what. The value stays while a newer one is read, and while
 * the node is gone. Another entry in `of` begins anew.
 */
export function useLive<Value>(read: (chain: Chain) => Promise<Value>, of: readonly unknown[] = [], every = 1): Live<Value> {
  const [live, setLive] = useState<Live<Value> & { of: readonly unknown[] }>({ of });
  useEffect(() => {
    let over = false;
    let reading: Chain | undefined;
    let next = 0;
    const run = async (from: Chain) => {
      reading = from;
      try {
        const value = await read(from);
        if (!over && chain.value === from) setLive({ value, of });
      } catch (error) {
        // A lost connection is said elsewhere.
        if (!over && chain.value === from && status.value === "connected") {
          setLive((last) => ({ ...last, of, error: error instanceof Error ? error : new Error(String(error)) }));
        }
      } finally {
        if (reading === from) reading = undefined;
      }
    };
    let last: Chain | undefined;
    const stop = effect(() => {
      const from = chain.value;
      const best = head.value?.best;
      if (!from || best === undefined) return;
      if (from !== last) next = 0;
      last = from;
      if (reading === from || best < next) return;
      next = best + every;
      untracked(() => void run(from));
    });
    return () => {
      over = true;
      stop();
    };
  }, of);
  const isCurrent = live.of.length === of.length && live.of.every((entry, index) => Object.is(entry, of[index]));
  return isCurrent ? live : {};
}
