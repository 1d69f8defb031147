// The steps of a web page: a wallet, then three calls.

import { ask, best, connect, follow, terms } from "proof-of-quality";
import { walletAccount } from "./wallet.ts";

const connection = connect("ws://127.0.0.1:9944");

/** Asks a question; `show` is called with each state. Returns `undefined` if the request was refunded. */
export async function answer(question: string, show: (state: string) => void) {
  const [{ api }, { address, signer }] = await Promise.all([connection, walletAccount("My dApp")]);
  const wanted = await terms(api, address, question, { responders: 2, committee: 5, minQuality: 0.5 });
  show(`${wanted.budget} units go on hold`);
  const { id } = await ask(api, signer, question, wanted);
  const request = await follow(api, id, (phase) => show(phase.type));
  return best(request); // { answer: "The capital of Peru is Lima.", quality: 0.984969, by: "5HGR…" }
}
