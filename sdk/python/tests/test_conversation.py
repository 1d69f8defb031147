"""The encoding of conversations: the same cases as in primitives/src/conversation.rs."""

import unittest

from proof_of_quality import Account, Malformed, decode_conversation, encode_conversation, options_of


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
            "\x1ep0\x1euWhy?", "\x1ep05\x1euWhy?", "\x1ep1000\x1euWhy?", "\x1ep500", "\x1ep500\x1ep500\x1euWhy?", "\x1ee.\x1ep500\x1euWhy?",
            "\x1ee\x1euWhy?", "\x1ee1\x1ee2\x1ee3\x1ee4\x1ee5\x1euWhy?", "\x1euWhy?\x1ee.", "\x1esA\x1ee.\x1euHi",
        ]  # fmt: skip
        for prompt in others:
            self.assertEqual(decode_conversation(prompt), [say("user", prompt)])

    def test_options_stand_before_the_messages(self):
        cases = [
            ({}, "Why?"),
            ({"top_p": 0.95}, "\x1ep950\x1euWhy?"),
            ({"stop": ["\n", "END"]}, "\x1ee\n\x1eeEND\x1euWhy?"),
            ({"top_p": 0.001, "stop": ["."]}, "\x1ep1\x1ee.\x1euWhy?"),
        ]
        for options, prompt in cases:
            self.assertEqual(encode_conversation("Why?", **options), prompt)
            self.assertEqual(encode_conversation([say("user", "Why?")], **options), prompt)
            self.assertEqual(decode_conversation(prompt), [say("user", "Why?")])
            self.assertEqual(options_of(prompt), options)
        wrong = [{"stop": stop} for stop in ([""], ["a\x1eb"], ["x" * 65], list("12345"))]
        for options in wrong + [{"top_p": top_p} for top_p in (0, -1, 1.1, float("nan"))]:
            with self.assertRaises(Malformed):
                encode_conversation("Why?", **options)

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
