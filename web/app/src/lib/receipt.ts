// Collects a receipt from the node that the page asks: the TypeScript form of receipt/src/collect.rs. The verifier checks the result, so a
// mistake here can make no wrong receipt, only none.

import type { RequestInfo } from "proof-of-quality";
import { t } from "../strings.ts";
import { endpoint, type Chain } from "./node.ts";
import { closedAt } from "./request.ts";
import { compact, hex, readCompact, unhex } from "./scale.ts";

type Block = { number: number; hash: string; header: string; justification: string };
type Header = { parentHash: string; number: string; stateRoot: string; extrinsicsRoot: string; digest: { logs: string[] } };

/** Milliseconds for which the next proof of finality is waited for. */
const PATIENCE = 60_000;
/** Form of receipts, as in receipt/src/receipt.rs. */
const FORM = 1;

// Keys of the state, as in receipt/src/keys.rs.
const VOTERS = "0x5f9cc45b7a00c5899361e1c6099678dc5e0621c4869aa60c02be9adcc98a0d1d";
const VOTERS_SET = "0x5f9cc45b7a00c5899361e1c6099678dc8a2d09463effcc78a22d75b9cb87dffc";
const TIME = "0xf0c365c3cf59d671eb72da0e7a4113c49f1f0515f462cdcf84e0f1d6045dfcbb";
const VERSION = "4e7b9012096b41c4eb3aaf947f6ea429";
/** Length of a hashed name of a pallet, with `0x`. */
const PALLET = 34;

/** Makes a receipt of a closed request whose end is final. It begins with the genesis block. */
export async function collect(chain: Chain, request: RequestInfo) {
  const closed = closedAt(request);
  if (closed === undefined) throw new Error(t.receipt.open);
  const block = await finality(chain, closed);
  const { Requests, Prompts, Responses, Outputs, Committees } = chain.api.query.ProofOfQuality;
  const { id } = request;
  const [own, texts, others] = await Promise.all([
    Requests.getKey(id),
    Promise.all([Prompts.getKey(id), ...request.responses.map((_, index) => Outputs.getKey(id, index))]),
    Promise.all([Responses.getKey(id), ...request.committees.map((_, round) => Committees.getKey(id, round))]),
  ]);
  const keys = [`${own.slice(0, PALLET)}${VERSION}`, TIME, own, ...texts, ...others];
  const state = await proof(chain, keys, block.hash);
  // The verifier reads digests of the texts only, and refuses a receipt with nodes that it does not read.
  const values = new Set(await Promise.all(texts.map((key) => chain.ask<string | null>("state_getStorage", key, block.hash))));
  return {
    form: FORM,
    request: Number(id),
    anchor: { header: (await header(chain, chain.genesis)).header, state: await genesisVoters(chain) },
    changes: await changesBefore(chain, block.number),
    block: { header: block.header, justification: block.justification },
    state: state.filter((node) => !values.has(node)),
  };
}

async function genesisVoters(chain: Chain): Promise<string[]> {
  try {
    return await proof(chain, [VOTERS, VOTERS_SET], chain.genesis);
  } catch {
    throw new Error(t.receipt.forgotten);
  }
}

/** The blocks before this one that changed the voters. */
async function changesBefore(chain: Chain, before: number) {
  const changes: { header: string; justification: string }[] = [];
  for (let at = 0; ; ) {
    const block = await finality(chain, at + 1);
    if (block.number >= before) return changes;
    if (block.number <= at) throw new Error(t.receipt.noProof);
    at = block.number;
    changes.push({ header: block.header, justification: block.justification });
  }
}

/** Nodes of the state's trie that lead to these keys. */
const proof = async (chain: Chain, keys: string[], at: string) =>
  (await chain.ask<{ proof: string[] }>("state_getReadProof", keys, at)).proof;

async function header(chain: Chain, hash: string) {
  const found = await chain.ask<Header | null>("chain_getHeader", hash);
  if (!found) throw new Error(t.receipt.noProof);
  const number = Number(found.number);
  const { logs } = found.digest;
  const parts = [found.parentHash, hex(compact(number)), found.stateRoot, found.extrinsicsRoot, hex(compact(logs.length)), ...logs];
  return { number, hash, header: `0x${parts.map((part) => part.replace(/^0x/, "")).join("")}` };
}

/** A block with a justification: this one, or a later one under the same voters. */
async function finality(chain: Chain, number: number): Promise<Block> {
  const told = await chain.ask<string | null>("grandpa_proveFinality", number).catch(() => null);
  // A node has none as long as the voters of the genesis block are in office.
  if (!told) return nextFinal(chain, number);
  const bytes = unhex(told);
  const { length, at } = readCompact(bytes, 32);
  return { ...(await header(chain, hex(bytes.subarray(0, 32)))), justification: hex(bytes.subarray(at, at + length)) };
}

/** The next block that the voters call final, if it is this one or a later one. On a connection of its own, for its subscription. */
async function nextFinal(chain: Chain, number: number): Promise<Block> {
  const socket = new WebSocket(endpoint.value);
  try {
    const justification = await new Promise<string>((resolve, reject) => {
      const late = () => reject(new Error(t.receipt.noProof));
      setTimeout(late, PATIENCE);
      socket.onerror = late;
      socket.onclose = late;
      socket.onopen = () => socket.send(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "grandpa_subscribeJustifications", params: [] }));
      socket.onmessage = ({ data }: MessageEvent<string>) => {
        const told: unknown = JSON.parse(data)?.params?.result;
        if (typeof told === "string" && target(told).number >= number) resolve(told);
      };
    });
    return { ...(await header(chain, target(justification).hash)), justification };
  } finally {
    socket.close();
  }
}

/** The block of a justification: after the round (8 bytes), its hash and its number. */
function target(justification: string) {
  const bytes = unhex(justification);
  const number = new DataView(bytes.buffer).getUint32(40, true);
  return { hash: hex(bytes.subarray(8, 40)), number };
}
