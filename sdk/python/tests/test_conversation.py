"""The encoding of conversations: the same cases as in primitives/src/conversation.rs."""

import unittest

from proof_of_quality import Account, Malformed, decode_conversation, encode_conversation


def say(role, content):
    return {"role": role, "content": content}


class Conversations(unittest.TestCase):
    def test_a_conversation_has_one_encoding(self):
        messages = [say("system", "Be brief."), say("user", "Hi"), say("assistant", "Yes?"), say("user", "Why?")]
        prompt = encode_conversation(messages)
        self.assertEqual(prompt, "\x1esBe brief.\x1euHi\x1eaYes?\x1euWhy?")
        self.assertEqual(decode_conversation(prompt), messages)
        self.assertEqual(encode_conversation([say("user", "Hi")]), "Hi")
        self.assertEqual(encode_conversation("Hi"), "Hi")

    def test_other_prompts_are_plain_text(self):
        others = [
            "Hi", "", " ", "\x1e", "\x1euHi", "\x1euHi\x1e", "\x1euHi\x1ea \x1euWhy?", "\x1euHi\x1eaYes?", "\x1euHi\x1euWhy?",
            "\x1eaYes?\x1euWhy?", "\x1euHi\x1esBe brief.", "\x1esA\x1esB\x1euHi", "\x1etHi\x1euWhy?", "x\x1euHi\x1eaYes?\x1euWhy?",
        ]  # fmt: skip
        for prompt in others:
            self.assertEqual(decode_conversation(prompt), [say("user", prompt)])

    def test_what_cannot_be_a_prompt_is_said(self):
        cases = [
            ([], "there is no message"),
            ([say("user", " \n")], "message 0 is empty"),
            ([say("user", "a\x1eb")], "message 0 contains the character U+001E"),
            ([say("system", "a")], "the last message is not the user's"),
            ([say("assistant", "a"), say("user", "b")], "message 0 is out of order"),
            ([say("user", "a"), say("user", "b")], "message 1 is out of order"),
            ([say("user", "a"), say("system", "b"), say("user", "c")], "message 1 is out of order"),
        ]
        for messages, why in cases:
            with self.assertRaisesRegex(Malformed, f"^{why}".replace("+", r"\+")):
                encode_conversation(messages)


class Accounts(unittest.TestCase):
    def test_a_secret_uri_is_an_account(self):
        alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"
        phrase = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
        for uri in ("//Alice", phrase + "//Alice", "0xfac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e//Alice\n"):
            self.assertEqual(Account.from_uri(uri).ss58_address, alice)
        # A soft step, a number, and a password.
        self.assertNotEqual(Account.from_uri("//Alice/1").ss58_address, Account.from_uri("//Alice//1").ss58_address)
        self.assertNotEqual(Account.from_uri(phrase + "///secret").ss58_address, Account.from_uri(phrase).ss58_address)
        for uri in ("", "one two three", "0x12", phrase + " more"):
            with self.assertRaisesRegex(ValueError, "^not a secret URI"):
                Account.from_uri(uri)
        self.assertNotIn("secret", repr(Account.from_uri("//Alice")))


if __name__ == "__main__":
    unittest.main()
