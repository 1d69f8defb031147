// Walks the chain's metadata as polkadot-api reads it, and fails on each item that an app could not use: a type that cannot be
// read, a field or a variant without a name, an entry without documentation, generated types that are not this node's.
//
//   node metadata.ts [ws://127.0.0.1:9944]

import { readFileSync } from "node:fs";
import { getChecksumBuilder, getDynamicBuilder, getLookupFn } from "@polkadot-api/metadata-builders";
import { decAnyMetadata, unifyMetadata, type UnifiedMetadata, type V14Lookup } from "@polkadot-api/substrate-bindings";
import { poq } from "proof-of-quality";
import { connect, USUAL_URL } from "./cli.ts";

const PALLET = "ProofOfQuality";

const { client, close } = await connect(process.argv[2] ?? USUAL_URL);
const { hash } = await client.getFinalizedBlock();
const raw = await client.getMetadata(hash);
close();
const metadata = unifyMetadata(decAnyMetadata(raw));
const faults = new Set<string>();

await checkDescriptors();
checkCodecs(metadata);
checkNames(metadata);
checkDocumentation(metadata);

for (const fault of faults) console.error(`error: ${fault}`);
const { lookup, pallets, apis } = metadata;
console.log(`polkadot-api: ${lookup.length} types, ${pallets.length} pallets, ${apis.length} runtime APIs`);
process.exitCode = faults.size === 0 ? 0 : 1;

/** The package's types of the pallet are this node's, and all are known. */
async function checkDescriptors() {
  const here = sums(metadata);
  for (const [what, sum] of sums(unifyMetadata(decAnyMetadata(await poq.getMetadata())))) {
    if (here.get(what) !== sum) faults.add(`the package's ${what} is of another runtime; build the package of this release`);
  }
  const folder = new URL("./descriptors/", import.meta.resolve("proof-of-quality"));
  const types = readFileSync(new URL("common-types.d.ts", folder), "utf8");
  for (const line of types.split("\n")) {
    if (/[:<] *(unknown|any)\b/.test(line) && !line.startsWith("type ")) faults.add(`a generated type is not known: ${line.trim()}`);
  }
}

/** What the types of each item of the pallet come to. Names of types and documentation do not count. */
function sums(of: UnifiedMetadata): Map<string, string | null> {
  const builder = getChecksumBuilder(getLookupFn(of));
  const { storage, viewFns: all, constants } = of.pallets.find(({ name }) => name === PALLET)!;
  // An error in them can be one of any pallet, and the package knows those that a client needs. The tests call the first.
  const ofAnyPallet = ["estimate_budget", "callback", "Callbacks"];
  const known = ({ name }: { name: string }) => !ofAnyPallet.includes(name);
  const viewFns = all.filter(known);
  const calls = ["request_inference", "report_work"].map((name) => [`call ${name}`, builder.buildCall(PALLET, name)] as const);
  const events = ["Requested", "PhaseEntered", "Settled", "Refunded"];
  return new Map([
    ...calls,
    ...events.map((name) => [`event ${name}`, builder.buildEvent(PALLET, name)] as const),
    ...storage!.items.filter(known).map(({ name }) => [`storage ${name}`, builder.buildStorage(PALLET, name)] as const),
    ...viewFns.map(({ name }) => [`view function ${name}`, builder.buildViewFns(PALLET, name)] as const),
    ...constants.map(({ name }) => [`constant ${name}`, builder.buildConstant(PALLET, name)] as const),
  ]);
}

/** Every type of the chain can be read and written. */
function checkCodecs({ lookup, pallets, apis }: UnifiedMetadata) {
  const builder = getDynamicBuilder(getLookupFn(metadata));
  const attempt = (what: string, build: () => unknown) => {
    try {
      build();
    } catch (error) {
      faults.add(`${what} cannot be read: ${error}`);
    }
  };
  for (const { id, path } of lookup) attempt(`type ${id} ${path.join("::")}`, () => builder.buildDefinition(id));
  for (const { name, storage, constants, viewFns } of pallets) {
    for (const item of storage?.items ?? []) attempt(`storage ${name}.${item.name}`, () => builder.buildStorage(name, item.name));
    for (const view of viewFns) attempt(`view function ${name}.${view.name}`, () => builder.buildViewFn(name, view.name));
    for (const constant of constants) {
      attempt(`constant ${name}.${constant.name}`, () => builder.buildConstant(name, constant.name).dec(constant.value));
    }
  }
  for (const { name, methods } of apis) {
    for (const method of methods) attempt(`runtime API ${name}.${method.name}`, () => builder.buildRuntimeCall(name, method.name));
  }
}

/** Every type that an app meets in the pallet has names all through. */
function checkNames({ lookup, pallets }: UnifiedMetadata) {
  const entry = (id: number) => lookup[id] as V14Lookup[number];
  const seen = new Set<number>();
  const label = (id: number): string => {
    const { path, def } = entry(id);
    return path.at(-1) ?? (def.tag === "primitive" ? def.value.tag : def.tag);
  };
  const fields = (some: { name?: string | undefined; type: number }[], where: string) => {
    // A single value needs no name: it has that of its type or of its variant.
    if (some.length > 1 && some.some(({ name }) => !name)) faults.add(`fields without names in ${where}`);
    for (const { name, type } of some) visit(type, name ? `${where}.${name}` : where);
  };
  const visit = (id: number, where: string) => {
    if (seen.has(id)) return;
    seen.add(id);
    const { path, def } = entry(id);
    const name = path.join("::");
    if (def.tag === "composite") fields(def.value, name || where);
    if (def.tag === "variant") {
      if (!name) faults.add(`an enum without a name in ${where}`);
      if (def.value.length === 0) faults.add(`an enum without variants in ${where}: ${name}`);
      for (const variant of def.value) fields(variant.fields, `${name}::${variant.name}`);
    }
    if (def.tag === "tuple") {
      if (def.value.length > 1) faults.add(`tuple of ${def.value.map(label).join(", ")} in ${where}`);
      for (const type of def.value) visit(type, where);
    }
    if (def.tag === "sequence") visit(def.value, where);
    if (def.tag === "array") visit(def.value.type, where);
    if (def.tag === "compact") visit(def.value, where);
    if (def.tag === "bitSequence") faults.add(`a sequence of bits in ${where}`);
  };
  const pallet = pallets.find(({ name }) => name === PALLET);
  if (!pallet) throw new Error(`the chain has no pallet ${PALLET}`);
  for (const part of ["calls", "events", "errors"] as const) {
    const types = pallet[part];
    if (types) visit(types.type, part);
    else faults.add(`the pallet has no ${part}`);
  }
  for (const { name, type } of pallet.storage?.items ?? []) {
    // A key of several parts is a tuple and given as arguments.
    visit(type.tag === "plain" ? type.value : type.value.value, `storage ${name}`);
  }
  for (const { name, type } of pallet.constants) visit(type, `constant ${name}`);
  for (const { name, inputs, output } of pallet.viewFns) {
    fields(inputs, `view function ${name}`);
    visit(output, `view function ${name}`);
  }
}

/** Every item of the pallet that an app can name has documentation, which editors show. */
function checkDocumentation({ lookup, pallets }: UnifiedMetadata) {
  const pallet = pallets.find(({ name }) => name === PALLET);
  if (!pallet) return;
  const variants = ["calls", "events", "errors"] as const;
  const named = variants.flatMap((part) => {
    const def = lookup[pallet[part]?.type ?? -1]?.def;
    return def?.tag === "variant" ? def.value : [];
  });
  for (const { name, docs } of [...named, ...(pallet.storage?.items ?? []), ...pallet.constants, ...pallet.viewFns]) {
    if (docs.join("").trim() === "") faults.add(`${PALLET}.${name} is not documented`);
  }
}
