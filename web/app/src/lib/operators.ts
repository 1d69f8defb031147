// Operators, with what the chain measures of them.

import type { Chain } from "./node.ts";
import type { OperatorInfo } from "./request.ts";

/** Most operators on a page of the view. */
const PAGE = 64;
const AT_ONCE = 16;
/** Most operators that this page reads. */
const MOST = 1_024;

/** Records of these operators; those that are gone are left out. */
export async function readOperators(chain: Chain, addresses: string[]): Promise<OperatorInfo[]> {
  const all: OperatorInfo[] = [];
  for (let at = 0; at < addresses.length; at += AT_ONCE) {
    const some = addresses.slice(at, at + AT_ONCE);
    const infos = await Promise.all(some.map((who) => chain.api.view.ProofOfQuality.operator_info(who, { at: "best" })));
    all.push(...infos.filter((info) => info !== undefined));
  }
  return all;
}

/** All operators, up to 1,024. */
export async function allOperators(chain: Chain): Promise<OperatorInfo[]> {
  const addresses: string[] = [];
  while (addresses.length < MOST) {
    const page = await chain.api.view.ProofOfQuality.operators(addresses.at(-1), PAGE, { at: "best" });
    addresses.push(...page);
    if (page.length < PAGE) break;
  }
  return readOperators(chain, addresses);
}

/** Weight as an inference node in millionths: reliability times quality, each at least the floor. */
export function promise({ standing }: OperatorInfo, floor: OperatorInfo["standing"]): number {
  return (Math.max(standing.reliability, floor.reliability) * Math.max(standing.quality, floor.quality)) / 1e6;
}
