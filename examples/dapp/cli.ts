// Shared by the programs here: arguments, a connection, errors in one line. A web page needs none of it.

import { parseArgs, type ParseArgsConfig } from "node:util";
import { connect as connectTo, type Connection } from "proof-of-quality";

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

/** A connection to a node that answers. */
export async function connect(url: string): Promise<Connection> {
  if (!/^wss?:$/.test(URL.parse(url)?.protocol ?? "")) fail(`${url} is not the URL of a node (ws://HOST:PORT)`, 2);
  return connectTo(url).catch((error: Error) => fail(error.message));
}
