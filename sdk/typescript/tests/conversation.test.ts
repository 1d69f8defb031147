// The encoding of conversations: the same cases as in primitives/src/conversation.rs.

import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeConversation, encodeConversation, Malformed, optionsOf, type Message } from "proof-of-quality";

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
    "\u{1e}p0\u{1e}uWhy?", "\u{1e}p05\u{1e}uWhy?", "\u{1e}p1000\u{1e}uWhy?", "\u{1e}p500", "\u{1e}p500\u{1e}p500\u{1e}uWhy?",
    "\u{1e}e.\u{1e}p500\u{1e}uWhy?", "\u{1e}e\u{1e}uWhy?", "\u{1e}e1\u{1e}e2\u{1e}e3\u{1e}e4\u{1e}e5\u{1e}uWhy?",
    "\u{1e}uWhy?\u{1e}e.", "\u{1e}sA\u{1e}e.\u{1e}uHi",
  ];
  for (const prompt of others) assert.deepEqual(decodeConversation(prompt), [say("user", prompt)]);
});

test("options stand before the messages", () => {
  const cases = [
    [{}, "Why?"],
    [{ topP: 0.95 }, "\u{1e}p950\u{1e}uWhy?"],
    [{ stop: ["\n", "END"] }, "\u{1e}e\n\u{1e}eEND\u{1e}uWhy?"],
    [{ topP: 0.001, stop: ["."] }, "\u{1e}p1\u{1e}e.\u{1e}uWhy?"],
  ] as const;
  for (const [options, prompt] of cases) {
    assert.equal(encodeConversation("Why?", options), prompt);
    assert.equal(encodeConversation([say("user", "Why?")], options), prompt);
    assert.deepEqual(decodeConversation(prompt), [say("user", "Why?")]);
    assert.deepEqual(optionsOf(prompt), options);
  }
  assert.equal(encodeConversation("Why?", { topP: 1, stop: [] }), "Why?");
  for (const stop of [[""], ["a\u{1e}b"], ["x".repeat(65)], ["1", "2", "3", "4", "5"]]) {
    assert.throws(() => encodeConversation("Why?", { stop }), Malformed);
  }
  for (const topP of [0, -1, 1.1, NaN]) assert.throws(() => encodeConversation("Why?", { topP }), Malformed);
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
