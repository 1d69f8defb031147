// Receipts: proofs of what became of a request, checked without a node.
//
// The verifier is the one of `poq verify`, compiled to WebAssembly (crate `poq-receipt`).

/** What a receipt proves: the JSON of `poq verify --json`. Amounts are integers of 10^-12 POQ, as text. */
export type Proven = {
  request: number;
  state: "settled" | "refunded";
  /** Name of the reason of a refund, as in `REASON`. */
  refund_reason: string | null;
  requester: string;
  /** Number, hash and time (milliseconds since 1970, by its author's clock) of the block in whose state the request stands so. */
  block: number;
  block_hash: string;
  time: number;
  budget: string;
  /** Digest of the prompt, see `digest`. */
  prompt_digest: string;
  /** Index of the best answer of a settled request. */
  best: number | null;
  answers: {
    operator: string;
    model: string;
    /** Consensus score, 0 to 1. */
    quality: number | null;
    paid: string;
    /** Digest of the text, see `digest`; `null` if none was revealed. */
    digest: string | null;
  }[];
  /** The committees in the order of the draws: two after a redraw. */
  committees: { operator: string; scores: number[]; agreement: number | null; paid: string }[][];
};

/** A refusal of a receipt. `message` is the first thing that does not hold. */
export class Invalid extends Error {
  override name = "Invalid";
}

/**
 * Checks a receipt without a node.
 *
 * `receipt` is the file that `poq receipt` wrote, as text or as parsed JSON. `anchor` is the hash of the block that the reader trusts and
 * that the receipt must begin with, usually the genesis block's (`0x…`): take it from a source of your own, never from the receipt.
 *
 * Throws `Invalid` if anything does not hold.
 */
export async function verify(receipt: string | object, anchor: string): Promise<Proven> {
  const verifier = await start();
  const text = typeof receipt === "string" ? receipt : JSON.stringify(receipt);
  const said = verifier.call("poq_verify", text, anchor);
  const { proven, invalid } = JSON.parse(said) as { proven?: Proven; invalid?: string };
  if (!proven) throw new Invalid(invalid);
  return proven;
}

/** Digest of a prompt or of an answer as the state holds it: BLAKE2b-256 of the SCALE encoding of the text. */
export async function digest(text: string): Promise<string> {
  return (await start()).call("poq_digest", text);
}

/** Index of the answer that is this text, white space included; `undefined` if none is. */
export async function answerOf(proven: Proven, text: string): Promise<number | undefined> {
  const wanted = await digest(text);
  const index = proven.answers.findIndex((answer) => answer.digest === wanted);
  return index < 0 ? undefined : index;
}

type Exports = {
  memory: WebAssembly.Memory;
  poq_reserve: (length: number) => number;
} & Record<"poq_verify" | "poq_digest", (...args: number[]) => number>;

let compiled: Promise<WebAssembly.Module> | undefined;

/** A fresh instance of the verifier, for one call. */
async function start() {
  compiled ??= import("#verifier").then(({ default: base64 }) =>
    WebAssembly.compile(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))),
  );
  const instance = await WebAssembly.instantiate(await compiled, {});
  const exports = instance.exports as Exports;
  const put = (text: string) => {
    const bytes = new TextEncoder().encode(text);
    const at = exports.poq_reserve(bytes.length);
    new Uint8Array(exports.memory.buffer).set(bytes, at);
    return [at, bytes.length];
  };
  return {
    /** Calls a function that takes texts and returns the place of a text with its length in front. */
    call: (name: "poq_verify" | "poq_digest", ...texts: string[]) => {
      const at = exports[name](...texts.flatMap(put));
      const length = new DataView(exports.memory.buffer).getUint32(at, true);
      return new TextDecoder().decode(new Uint8Array(exports.memory.buffer, at + 4, length));
    },
  };
}
