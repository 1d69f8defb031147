// Shared by the programs here: arguments, the generated types, a connection, errors in one line. A web page needs none of it.

import { parseArgs, type ParseArgsConfig } from "node:util";
import { createWsClient, WsEvent } from "polkadot-api/ws";

/** The usual address of a node. */
export const USUAL_URL = "ws://127.0.0.1:9944";

/** Prints an error and ends the program: exit code 1 for a failure, 2 for wrong usage. */
export function fail(what: string, code: 1 | 2 = 1): never {
  console.error(`error: ${what}`);
  process.exit(code);
}

/** The arguments of the command line. `usage` is printed for wrong ones. */
export function readArgs<T extends ParseArgsConfig>(config: T, usage: string) {
  try {
    return parseArgs(config);
  } catch (error) {
    // The library's hint on how to write an argument that begins with a minus is longer than the rest.
    const [what] = (error as Error).message.split(/\. /);
    return fail(`${what}; usage: ${usage}`, 2);
  }
}

/** The number of an option, or `undefined` if the option was not given. */
export function numberOf(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  return text.trim() === "" || !Number.isFinite(number) ? fail(`${option} takes a number, not "${text}"`, 2) : number;
}

/** The count of an option: a whole number that a `u32` holds. */
export function countOf(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const count = /^\d+$/.test(text) ? Number(text) : NaN;
  return count <= 0xffff_ffff ? count : fail(`${option} takes a whole number, not "${text}"`, 2);
}

/** The amount of an option, in units of 10^-12 POQ. */
export function unitsOf(option: string, text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  return /^\d+$/.test(text) ? BigInt(text) : fail(`${option} takes a whole number of units of 10^-12 POQ, not "${text}"`, 2);
}

/** The types that `npm run types` generates. Where they are missing, an import at the head of a file would end in a stack trace. */
export async function descriptors() {
  try {
    return await import("#descriptors");
  } catch (error) {
    if ((error as { code?: string }).code !== "ERR_MODULE_NOT_FOUND") throw error;
    return fail("the types of the chain are missing: run `npm run types` while a node runs");
  }
}

/** A connection to a node that answers. It reconnects by itself after a loss; a node that never answers is an error. */
export async function connect(url: string) {
  const scheme = URL.parse(url)?.protocol;
  if (scheme !== "ws:" && scheme !== "wss:") fail(`${url} is not the URL of a node (ws://HOST:PORT)`, 2);
  const answers = Promise.withResolvers<void>();
  const client = createWsClient(url, {
    onStatusChanged: ({ type }) => {
      if (type === WsEvent.CONNECTED) answers.resolve();
      if (type === WsEvent.ERROR) answers.reject(new Error(`no node answers at ${url}; \`poq-node --dev\` starts one`));
    },
  });
  await answers.promise.catch((error: Error) => fail(error.message));
  return client;
}
