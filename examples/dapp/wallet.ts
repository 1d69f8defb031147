// The signer of a web page: the account that a user chose in a browser extension. The key never leaves the wallet.

import { connectInjectedExtension, getInjectedExtensions } from "polkadot-api/pjs-signer";
import type { PolkadotSigner } from "polkadot-api";

/** An account of the first wallet that the user lets this page see. Its `signer` goes to `ask` of the package. */
export async function walletAccount(page: string): Promise<{ address: string; signer: PolkadotSigner }> {
  const [wallet] = getInjectedExtensions();
  if (!wallet) throw new Error("there is no wallet in this browser: install Talisman, SubWallet or polkadot{.js}");
  const extension = await connectInjectedExtension(wallet, page);
  const [account] = extension.getAccounts();
  if (!account) throw new Error(`${wallet} shows this page no account`);
  return { address: account.address, signer: account.polkadotSigner };
}
