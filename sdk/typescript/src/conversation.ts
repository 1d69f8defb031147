// Conversations as prompts: the encoding of `poq_primitives::conversation`.

/** One message of a conversation. */
export type Message = { role: "system" | "user" | "assistant"; content: string };

/** A reason why messages cannot be a prompt; `message` says what to do. */
export class Malformed extends Error {
  override name = "Malformed";
}

/** Stands before each message of a conversation; no text of a conversation may contain it. */
export const SEPARATOR = "\u{1e}";

/** Options of sampling that a prompt carries. */
export type SamplingOptions = {
  /** Samples from the likeliest tokens that have this part of the probability together, 0.001 to 1 (default: 1), in thousandths. */
  topP?: number | undefined;
  /** The answer ends before the first of these: up to 4 texts of 1 to 64 bytes. */
  stop?: readonly string[] | undefined;
};

const MOST_STOPS = 4;
const LONGEST_STOP = 64;

const LETTERS = { system: "s", user: "u", assistant: "a" } as const;
const ROLES = new Map(Object.entries(LETTERS).map(([role, letter]) => [letter as string, role as Message["role"]]));

/**
 * The prompt that a question or messages are, to be answered with these options. A single message of the user without options is plain text,
 * as a question is. A prompt is a question: whatever takes a question takes what this returns.
 */
export function encodeConversation(messages: string | readonly Message[], options: SamplingOptions = {}): string {
  const records = recordsOf(options);
  if (typeof messages === "string") {
    if (records.length === 0) return messages;
    messages = [{ role: "user", content: messages }];
  }
  const fault = faultOf(messages);
  if (fault) throw new Malformed(fault);
  if (messages.length === 1 && records.length === 0) return messages[0]!.content;
  return [...records, ...messages.map(({ role, content }) => LETTERS[role] + content)].map((record) => SEPARATOR + record).join("");
}

/** The messages of a prompt, at least one. The last one is the user's. */
export const decodeConversation = (prompt: string): Message[] => read(prompt)?.messages ?? [{ role: "user", content: prompt }];

/** The options of a prompt; those that it does not name are left out. */
export const optionsOf = (prompt: string): SamplingOptions => read(prompt)?.options ?? {};

/** The messages and options of a prompt that is a conversation. */
function read(prompt: string): { messages: Message[]; options: SamplingOptions } | undefined {
  if (!prompt.startsWith(SEPARATOR)) return undefined;
  const messages: Message[] = [];
  const stop: string[] = [];
  let topP: number | undefined;
  for (const record of prompt.slice(1).split(SEPARATOR)) {
    const [letter, text] = [record.slice(0, 1), record.slice(1)];
    const role = ROLES.get(letter);
    if (role) messages.push({ role, content: text });
    else if (letter === "p" && messages.length + stop.length === 0 && topP === undefined && /^[1-9]\d{0,2}$/.test(text)) {
      topP = Number(text) / 1000;
    } else if (letter === "e" && messages.length === 0) stop.push(text);
    else return undefined;
  }
  const records = messages.length + stop.length + (topP === undefined ? 0 : 1);
  if (records < 2 || faultOf(messages) || faultOfStops(stop)) return undefined;
  return { messages, options: { ...(topP !== undefined && { topP }), ...(stop.length > 0 && { stop }) } };
}

/** Records that options are. */
function recordsOf({ topP = 1, stop = [] }: SamplingOptions): string[] {
  const milli = Math.round(topP * 1000);
  if (!(milli >= 1 && milli <= 1000)) throw new Malformed("top_p has to be from 0.001 to 1");
  const fault = faultOfStops(stop);
  if (fault) throw new Malformed(fault);
  return [...(milli < 1000 ? [`p${milli}`] : []), ...stop.map((text) => `e${text}`)];
}

function faultOfStops(stop: readonly string[]): string | undefined {
  const proper = (text: string) =>
    text !== "" && new TextEncoder().encode(text).length <= LONGEST_STOP && !text.includes(SEPARATOR);
  if (stop.length <= MOST_STOPS && stop.every(proper)) return undefined;
  return `there may be up to ${MOST_STOPS} stop sequences, each of 1 to ${LONGEST_STOP} bytes and without the character U+001E`;
}

/** What is wrong with messages, if anything is. */
function faultOf(messages: readonly Message[]): string | undefined {
  let before: Message["role"] | undefined;
  for (const [index, { role, content }] of messages.entries()) {
    if (!/[^\p{White_Space}]/u.test(content)) return `message ${index} is empty; leave it out or give it a text`;
    if (content.includes(SEPARATOR)) {
      return `message ${index} contains the character U+001E, which separates messages; remove it`;
    }
    const inTurn =
      role === "system" ? before === undefined : role === "user" ? before !== "user" : role === "assistant" && before === "user";
    if (!inTurn) {
      return `message ${index} is out of order: a system message may come first, then user and assistant take turns, beginning with the user`;
    }
    before = role;
  }
  if (before === undefined) return "there is no message; ask with a message of the user";
  if (before !== "user") return "the last message is not the user's; end with the question";
  return undefined;
}
