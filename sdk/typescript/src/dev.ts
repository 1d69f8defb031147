// Accounts of development chains, whose keys everybody knows. Never send anything of value to them.

import { sr25519CreateDerive } from "@polkadot-labs/hdkd";
import { DEV_MINI_SECRET, ss58Address } from "@polkadot-labs/hdkd-helpers";
import type { PolkadotSigner } from "polkadot-api";
import { getPolkadotSigner } from "polkadot-api/signer";

/** A development account: `//Alice`, `//Bob` and so on. */
export function devAccount(path: string): { address: string; signer: PolkadotSigner } {
  if (!path.startsWith("//")) throw new Error(`"${path}" is no development account; take one such as //Bob`);
  const key = sr25519CreateDerive(DEV_MINI_SECRET)(path);
  return { address: ss58Address(key.publicKey), signer: getPolkadotSigner(key.publicKey, "Sr25519", key.sign) };
}
