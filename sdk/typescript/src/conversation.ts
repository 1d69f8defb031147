// Conversations as prompts: the encoding of `poq_primitives::conversation`.

/** One message of a conversation. */
export type Message = { role: "system" | "user" | "assistant"; content: string };

/** A reason why messages cannot be a prompt; `message` says what to do. */
export class Malformed extends Error {
  override name = "Malformed";
}

/** Stands before each message of a conversation; no text of a conversation may contain it. */
export const SEPARATOR = "\u{1e}";

const LETTERS = { system: "s", user: "u", assistant: "a" } as const;
const ROLES = new Map(Object.entries(LETTERS).map(([role, letter]) => [letter as string, role as Message["role"]]));

/** The prompt that a question or messages are. A single message of the user is plain text, as a question is. */
export function encodeConversation(messages: string | readonly Message[]): string {
  if (typeof messages === "string") return messages;
  const fault = faultOf(messages);
  if (fault) throw new Malformed(fault);
  if (messages.length === 1) return messages[0]!.content;
  return messages.map(({ role, content }) => SEPARATOR + LETTERS[role] + content).join("");
}

/** The messages of a prompt, at least one. The last one is the user's. */
export function decodeConversation(prompt: string): Message[] {
  const plain: Message[] = [{ role: "user", content: prompt }];
  if (!prompt.startsWith(SEPARATOR)) return plain;
  const messages: Message[] = [];
  for (const record of prompt.slice(1).split(SEPARATOR)) {
    const role = ROLES.get(record.slice(0, 1));
    if (!role) return plain;
    messages.push({ role, content: record.slice(1) });
  }
  return messages.length > 1 && !faultOf(messages) ? messages : plain;
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
