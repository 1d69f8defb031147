"""Asks a node of a development chain. POQ_URL: its address. RESULT: file for what was asked and came out, which the caller compares."""

import json
import os
import unittest
from pathlib import Path

from proof_of_quality import Account, Chain, Refused

QUESTION = [
    {"role": "system", "content": "Answer in one sentence."},
    {"role": "user", "content": "What is the capital of Peru?"},
]


class Chains(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.bob = Account.from_uri("//Bob")
        cls.chain = Chain(os.environ["POQ_URL"])
        cls.addClassCleanup(cls.chain.close)

    def test_an_estimate_costs_nothing_and_refuses_as_the_chain_would(self):
        address = self.bob.ss58_address
        estimate = self.chain.estimate(QUESTION, address)
        self.assertEqual(estimate.terms["budget"], estimate.total)
        generator = next(model for model in self.chain.models() if model.kind == "Generator")
        for name in (generator.id, generator.name):
            terms = self.chain.estimate(QUESTION, address, models=[name], responders=1).terms
            self.assertEqual(terms["generators"], [generator.id])
        cases = [
            (" ", {}, "^EmptyPrompt: "),
            ("x" * 8_193, {}, "^PromptTooLong: "),
            (QUESTION, {"responders": 9}, "^InvalidResponders: "),
            (QUESTION, {"min_quality": 2}, "from 0 to 1"),
            (QUESTION, {"models": ["nobody's"]}, 'nobody serves a generator "nobody\'s"'),
        ]
        for question, wishes, why in cases:
            with self.assertRaisesRegex(Refused, why):
                self.chain.estimate(question, address, **wishes)

    def test_a_conversation_is_answered(self):
        phases = []
        answer = self.chain.ask(QUESTION, self.bob, on_phase=phases.append, responders=2, committee=5)
        self.assertEqual(phases[-1], "Settled")
        self.assertEqual((answer.phase, answer.reason), ("Settled", None))
        self.assertIn("Lima", answer.text)
        stored = self.chain.read(answer.id)
        self.assertEqual(stored["responses"], answer.request["responses"])
        self.assertEqual([len(committee) for committee in stored["committees"]], [5])
        result = {"request": answer.id, "answer": answer.text, "quality": answer.quality, "by": answer.by}
        Path(os.environ["RESULT"]).write_text(json.dumps(result))

    def test_a_refused_transaction_says_why(self):
        estimate = self.chain.estimate(QUESTION, self.bob.ss58_address, budget=1)
        with self.assertRaisesRegex(Refused, "^BudgetTooSmall: "):
            self.chain.submit(QUESTION, self.bob, estimate)
        poor = Account.from_uri("//Nobody")
        with self.assertRaisesRegex(Refused, "(?i)payment|pay some fees"):
            self.chain.submit(QUESTION, poor, self.chain.estimate(QUESTION, poor.ss58_address))

    def test_a_request_that_is_not_there_is_said(self):
        self.assertIsNone(self.chain.read(999))
        with self.assertRaisesRegex(LookupError, "the chain has no request 999"):
            self.chain.follow(999)
        with self.assertRaisesRegex(ConnectionError, "no node answers at ws://127.0.0.1:1;"):
            Chain("ws://127.0.0.1:1")


if __name__ == "__main__":
    unittest.main()
