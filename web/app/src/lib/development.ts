// Development accounts, whose keys everybody knows. Loaded on chains of type Development only.

import { devAccount } from "proof-of-quality/dev";
import type { PolkadotSigner } from "polkadot-api";

const PEOPLE = ["Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie"];
/** Operators of the development chain. */
const OPERATORS = 7;

/** Development accounts that may ask. */
export const developmentAccounts = (): { name: string; address: string; signer: PolkadotSigner }[] =>
  PEOPLE.map((name) => ({ name: name.toLowerCase(), ...devAccount(`//${name}`) }));

/** Names by address, as `poq` shows them. */
export function developmentNames(): Map<string, string> {
  const people = PEOPLE.map((name) => [devAccount(`//${name}`).address, name.toLowerCase()] as const);
  const operators = Array.from({ length: OPERATORS }, (_, index) => index).map(
    (index) => [devAccount(`//PoQ//operator//${index}`).address, `operator-${index}`] as const,
  );
  return new Map([...people, ...operators]);
}
