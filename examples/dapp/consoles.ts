// Does what the consoles of polkadot.js apps and of polkadot-api do: reads what the chain says of itself and what an account has, and
// sends tokens, without and with the hash of the metadata (RFC-78) by which hardware wallets sign. Prints what each library saw.
//
//   node consoles.ts [ws://127.0.0.1:9944]

import { merkleizeMetadata } from "@polkadot-api/merkleize-metadata";
import { ApiPromise, WsProvider } from "@polkadot/api";
import type { SignerOptions } from "@polkadot/api/types";
import { Keyring } from "@polkadot/keyring";
import type { Bytes, Option } from "@polkadot/types";
import type { ISubmittableResult } from "@polkadot/types/types";
import { u8aToHex } from "@polkadot/util";
import type { PolkadotSigner } from "polkadot-api";
import { withMetadataHash } from "polkadot-api/signer";
import { createWsClient } from "polkadot-api/ws";
import { devAccount } from "proof-of-quality/dev";
import { USUAL_URL } from "./cli.ts";

const AMOUNT = 1_000_000_000_000n;
/** The version of metadata that RFC-78 hashes. */
const HASHED_VERSION = 15;

type Seen = {
  symbol: unknown;
  decimals: unknown;
  format: unknown;
  /** What the receiver had before, and has after each transfer. */
  balances: bigint[];
  /** Hash of the metadata. */
  hash: string;
  /** The answer to a transfer with another hash under the signature. */
  refusal: string;
};

async function refusalOf(sending: Promise<unknown>): Promise<string> {
  return sending.then(
    () => "none",
    (error: Error) => error.message,
  );
}

/** As the console of polkadot-api: all types come from the node's metadata. */
async function papi(url: string, to: string): Promise<Seen> {
  const client = createWsClient(url);
  const api = client.getUnsafeApi();
  const { properties } = await client.getChainSpecData();
  const { tokenSymbol, tokenDecimals } = properties;
  const facts = { tokenSymbol, decimals: tokenDecimals };
  const bob = devAccount("//Bob").signer;
  const balance = async () => {
    const account = await api.query["System"]!["Account"]!.getValue(to);
    return (account as { data: { free: bigint } }).data.free;
  };
  const transfer = async (signer: PolkadotSigner) => {
    const call = api.tx["Balances"]!["transfer_keep_alive"]!({ dest: { type: "Id", value: to }, value: AMOUNT });
    const { ok, dispatchError } = await call.signAndSubmit(signer);
    if (!ok) throw new Error(`the transfer failed: ${dispatchError.type}`);
  };

  const balances = [await balance()];
  await transfer(bob);
  balances.push(await balance());
  await transfer(withMetadataHash(facts, bob));
  balances.push(await balance());
  const refusal = await refusalOf(transfer(withMetadataHash({ ...facts, tokenSymbol: "ANOTHER" }, bob)));
  const metadata = await api.apis["Metadata"]!["metadata_at_version"]!(HASHED_VERSION);
  const hash = u8aToHex(merkleizeMetadata(metadata as Uint8Array, facts).digest());
  const format = await api.constants["System"]!["SS58Prefix"]!();
  client.destroy();
  return { symbol: tokenSymbol, decimals: tokenDecimals, format, balances, hash, refusal };
}

/** As polkadot.js apps: its page of accounts shows the derived balances. */
async function polkadotJs(url: string, to: string): Promise<Seen> {
  const provider = new WsProvider(url);
  const api = await ApiPromise.create({ provider, noInitWarn: true });
  const { chainTokens, chainDecimals, chainSS58 } = api.registry;
  const [symbol, decimals] = [chainTokens[0]!, chainDecimals[0]!];
  const bob = new Keyring({ type: "sr25519", ss58Format: chainSS58 }).addFromUri("//Bob");
  const balance = async () => (await api.derive.balances.all(to)).freeBalance.toBigInt();
  const transfer = (options: Partial<SignerOptions>) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const heard = ({ dispatchError, isError, status }: ISubmittableResult) => {
      if (dispatchError || isError) reject(new Error(`the transfer failed: ${dispatchError ?? status.type}`));
      else if (status.isFinalized) resolve();
    };
    api.tx.balances!.transferKeepAlive!(to, AMOUNT).signAndSend(bob, options, heard).catch(reject);
    return promise;
  };

  const metadata = (await api.call.metadata!.metadataAtVersion!(HASHED_VERSION)) as Option<Bytes>;
  const merkleized = merkleizeMetadata(metadata.unwrap().toU8a(true), { decimals, tokenSymbol: symbol });
  const hash = u8aToHex(merkleized.digest());
  const balances = [await balance()];
  await transfer({});
  balances.push(await balance());
  await transfer({ mode: 1, metadataHash: hash });
  balances.push(await balance());
  const refusal = await refusalOf(transfer({ mode: 1, metadataHash: `0x${"07".repeat(32)}` }));
  await api.disconnect();
  return { symbol, decimals, format: chainSS58, balances, hash, refusal };
}

const url = process.argv[2] ?? USUAL_URL;
const seen = {
  papi: await papi(url, devAccount("//papi").address),
  polkadotJs: await polkadotJs(url, devAccount("//polkadot.js").address),
};
console.log(JSON.stringify(seen, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value), 2));
