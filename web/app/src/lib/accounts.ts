// Accounts that can sign: development accounts, and those of wallets in the browser. No key is ever stored; those of development accounts are
// public and computed when they are needed.

import { signal } from "@preact/signals";
import type { PolkadotSigner } from "polkadot-api";
import { t } from "../strings.ts";

/** `id` also tells apart one account in two wallets. */
export type Account = { id: string; name: string; address: string; signer: PolkadotSigner; wallet?: string };

/** Accounts that the user has let this page see, by wallet. */
export const walletAccounts = signal<Account[]>([]);
export const developmentAccounts = signal<Account[]>([]);
/** Id of the account that pays. */
export const chosen = signal("");

/** Names of the wallets in this browser. */
export function wallets(): string[] {
  return Object.keys(window.injectedWeb3 ?? {});
}

/** Loads the development accounts, for a chain that has them. */
export async function loadDevelopment() {
  if (developmentAccounts.value.length > 0) return;
  const { developmentAccounts: all } = await import("./development.ts");
  developmentAccounts.value = all().map((account) => ({ ...account, id: `//${account.name}` }));
}

/** Asks a wallet for its accounts: the wallet asks the user. */
export async function connectWallet(wallet: string) {
  const [{ connectInjectedExtension }, { AccountId }] = await Promise.all([import("polkadot-api/pjs-signer"), import("polkadot-api")]);
  let extension;
  try {
    extension = await connectInjectedExtension(wallet, t.name);
  } catch (error) {
    throw new Error(t.ask.walletRefused(wallet, error instanceof Error ? error.message : String(error)));
  }
  const found = extension.getAccounts().map(({ address, name, polkadotSigner }) => ({
    id: `${wallet}: ${address}`,
    name: name ?? address,
    // In the format of this page, whatever chain the wallet has in mind.
    address: AccountId().dec(polkadotSigner.publicKey),
    signer: polkadotSigner,
    wallet,
  }));
  if (found.length === 0) throw new Error(t.ask.walletEmpty(wallet));
  walletAccounts.value = [...walletAccounts.value.filter((account) => account.wallet !== wallet), ...found];
  chosen.value = found[0]!.id;
}
