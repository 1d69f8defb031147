// Development accounts, whose keys everybody knows. Loaded on chains of type Development only.

import { AccountId, type PolkadotSigner } from "polkadot-api";

/** Addresses of development accounts that may ask. Written down, because to derive keys takes a slow processor a second; a test derives them. */
export const PEOPLE = {
  Alice: "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY",
  Bob: "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty",
  Charlie: "5FLSigC9HGRKVhB9FiEo4Y3koPsNmBmLJbpXg2mp1hXcS59Y",
  Dave: "5DAAnrj7VHTznn2AWBemMuyBwZWs6FNFjdyVXUeYum3PTXFy",
  Eve: "5HGjWAeFDfFCWPsjFQdVV2Msvz2XtMktvgocEZcCj68kUMaw",
  Ferdie: "5CiPPseXPECbkjWCa6MnjNokrgYjMqmKndv2rSnekmSK2DjL",
};

/** Addresses of the operators of the development chain. */
export const OPERATORS = [
  "5HGRnaHxPAZfkHvgEGYNKR5H7WAyNegPgpSoEbZFiwjc1KJY",
  "5D9tZmY2SKm9KgBum5DQPEfZs8VPiTt5bQU3MTeS85GhUuoY",
  "5E4QYT6dBMZN6xbynE9rjdCbRkDKHLhxhW7XHCJhvhawhg6k",
  "5FpvX1iPQAT1gYNkDRdhKfRgg2Vy6usMnr793QsUbSSmKRgv",
  "5CmCVH6PtCzY2MKwqMX8rWuaFei1QXfsrCKBf5NVJApSmVfE",
  "5GWS9XWbvBF1WpTw8fe8niro9iv2ps7fqy8SLqFbqXLqBA5X",
  "5Dhm97kZgdmoaSnEVTAPkLzD4PHko7LBoMe8u9FKF42peQqy",
];

/** Secret URI of one of [`PEOPLE`], and of an operator by its number. */
export const uriOf = { person: (name: string) => `//${name}`, operator: (index: number) => `//PoQ//operator//${index}` };

/** Signs with the key of a secret URI, which is derived at the first signature. */
function signer(uri: string, address: string): PolkadotSigner {
  const own = async () => (await import("proof-of-quality/dev")).devAccount(uri).signer;
  return {
    publicKey: AccountId().enc(address),
    signTx: async (...parts) => (await own()).signTx(...parts),
    signBytes: async (...parts) => (await own()).signBytes(...parts),
  };
}

/** Development accounts that may ask. */
export const developmentAccounts = (): { name: string; address: string; signer: PolkadotSigner }[] =>
  Object.entries(PEOPLE).map(([name, address]) => ({ name: name.toLowerCase(), address, signer: signer(uriOf.person(name), address) }));

/** Names by address, as `poq` shows them. */
export const developmentNames = (): Map<string, string> =>
  new Map([
    ...Object.entries(PEOPLE).map(([name, address]) => [address, name.toLowerCase()] as const),
    ...OPERATORS.map((address, index) => [address, `operator-${index}`] as const),
  ]);
