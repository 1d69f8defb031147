// Walks the chain's metadata as polkadot-js reads it, and fails on each item that an app could not use: a type that cannot be made
// or read back, or that has no name; a constant or a view function without a type.
//
//   node metadata-pjs.ts [ws://127.0.0.1:9944]

import { ApiPromise, WsProvider } from "@polkadot/api";
import { DoNotConstruct, Json, Raw } from "@polkadot/types";
import type { SiLookupTypeId } from "@polkadot/types/interfaces";
import { u8aEq } from "@polkadot/util";

const PALLET = "ProofOfQuality";
const OURS = /^(pallet_proof_of_quality|poq_primitives)::/;
/** Types of which no default value can be made, by path or, where there is none, as polkadot-js writes them. */
const WITHOUT_DEFAULT = [
  // Enums without variants: of these there is no value at all.
  "sp_core::Void",
  "poq_runtime::pallets::RuntimeFreezeReason",
  // The index in a MultiAddress, of which this chain has none; the same in most Substrate chains.
  "Compact<Null>",
  // polkadot-js has classes of its own for events, and they read only.
  "frame_system::EventRecord",
  "poq_runtime::pallets::RuntimeEvent",
];

const provider = new WsProvider(process.argv[2] ?? "ws://127.0.0.1:9944");
const api = await ApiPromise.create({ provider, noInitWarn: true });
const { lookup } = api.registry;
const faults: string[] = [];

/** Makes the default value of a type, and reads back what it writes. */
function check(id: SiLookupTypeId, what: string) {
  try {
    const value = api.createType(api.registry.createLookupType(id));
    if (value instanceof DoNotConstruct || value instanceof Json || value.constructor === Raw) {
      faults.push(`${what} is ${value.constructor.name}: polkadot-js does not know it`);
    }
    const bytes = value.toU8a();
    const again = api.createType(api.registry.createLookupType(id), bytes);
    if (!u8aEq(again.toU8a(), bytes)) faults.push(`${what} is not read back as it was written`);
  } catch (error) {
    faults.push(`${what}: ${error instanceof Error ? error.message : error}`);
  }
}

const names = new Map<string, string>();
for (const { id, type } of lookup.types) {
  const path = type.path.map(String).join("::");
  const written = path || lookup.getTypeDef(id).type;
  if (!WITHOUT_DEFAULT.includes(written)) check(id, `type ${id} ${written}`);
  if (!OURS.test(path)) continue;
  const name = lookup.getTypeDef(id).lookupName;
  if (!name) faults.push(`${path} has no name`);
  else if (names.has(name)) faults.push(`${path} and ${names.get(name)} are both ${name}`);
  else names.set(name, path);
}

const pallet = api.runtimeMetadata.asV16.pallets.find(({ name }) => name.eq(PALLET));
if (!pallet) throw new Error(`the chain has no pallet ${PALLET}`);
for (const { name, inputs, output } of pallet.viewFunctions) {
  for (const input of inputs) check(input.type, `${name}(${input.name})`);
  check(output, `what ${name} answers`);
}
for (const { name, type, value } of pallet.constants) {
  const constant = api.createType(api.registry.createLookupType(type), value.toU8a(true));
  if (!u8aEq(constant.toU8a(), value.toU8a(true))) faults.push(`the constant ${name} is not read as it was written`);
}

for (const fault of faults) console.error(`error: ${fault}`);
console.log(`polkadot-js: ${lookup.types.length} types, ${names.size} of the protocol's own with names`);
process.exitCode = faults.length === 0 ? 0 : 1;
await api.disconnect();
