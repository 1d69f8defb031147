// The encoding of conversations: the same cases as in primitives/src/conversation.rs.

import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeConversation, encodeConversation, Malformed, type Message } from "proof-of-quality";

const say = (role: Message["role"], content: string): Message => ({ role, content });

test("a conversation has one encoding", () => {
  const messages = [say("system", "Be brief."), say("user", "Hi"), say("assistant", "Yes?"), say("user", "Why?")];
  const prompt = encodeConversation(messages);
  assert.equal(prompt, "\u{1e}sBe brief.\u{1e}uHi\u{1e}aYes?\u{1e}uWhy?");
  assert.deepEqual(decodeConversation(prompt), messages);
  assert.equal(encodeConversation([say("user", "Hi")]), "Hi");
  assert.equal(encodeConversation("Hi"), "Hi");
});

test("other prompts are plain text", () => {
  const others = [
    "Hi", "", " ", "\u{1e}", "\u{1e}uHi", "\u{1e}uHi\u{1e}", "\u{1e}uHi\u{1e}a \u{1e}uWhy?", "\u{1e}uHi\u{1e}aYes?",
    "\u{1e}uHi\u{1e}uWhy?", "\u{1e}aYes?\u{1e}uWhy?", "\u{1e}uHi\u{1e}sBe brief.", "\u{1e}sA\u{1e}sB\u{1e}uHi",
    "\u{1e}tHi\u{1e}uWhy?", "x\u{1e}uHi\u{1e}aYes?\u{1e}uWhy?",
  ];
  for (const prompt of others) assert.deepEqual(decodeConversation(prompt), [say("user", prompt)]);
});

test("what cannot be a prompt is said", () => {
  const cases: [Message[], string][] = [
    [[], "there is no message"],
    [[say("user", " \n")], "message 0 is empty"],
    [[say("user", "a\u{1e}b")], "message 0 contains the character U+001E"],
    [[say("system", "a")], "the last message is not the user's"],
    [[say("assistant", "a"), say("user", "b")], "message 0 is out of order"],
    [[say("user", "a"), say("user", "b")], "message 1 is out of order"],
    [[say("user", "a"), say("system", "b"), say("user", "c")], "message 1 is out of order"],
  ];
  for (const [messages, why] of cases) {
    assert.throws(() => encodeConversation(messages), (error: Error) => error instanceof Malformed && error.message.startsWith(why));
  }
});
