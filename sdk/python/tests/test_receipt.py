"""A receipt of a real chain, checked without its node, and tampered with.

RECEIPT: file of the receipt; ANCHOR: genesis hash; ANSWER: the best answer; PROVEN: file with what ``poq verify --json`` says.
SEED: seed of the changes, which a failure prints.
"""

import json
import os
import random
import re
import unittest
from pathlib import Path

from proof_of_quality import Invalid, answer_of, verify

RECEIPT = Path(os.environ["RECEIPT"]).read_text()
ANCHOR = os.environ["ANCHOR"]
SEED = int(os.environ.get("SEED") or random.randrange(2**32))


class Receipts(unittest.TestCase):
    def test_a_receipt_proves_what_poq_verify_says(self):
        proven = verify(RECEIPT, ANCHOR)
        said = json.loads(Path(os.environ["PROVEN"]).read_text())
        self.assertIsNone(said.pop("answer"))
        self.assertEqual(proven, said)
        self.assertEqual(verify(json.loads(RECEIPT), ANCHOR), proven)
        self.assertEqual(verify(RECEIPT.encode(), ANCHOR), proven)
        self.assertEqual(answer_of(proven, os.environ["ANSWER"]), proven["best"])
        self.assertIsNone(answer_of(proven, "Paris"))

    def test_the_reader_says_where_a_receipt_begins(self):
        with self.assertRaisesRegex(Invalid, "not at the one that you trust"):
            verify(RECEIPT, "0x" + "11" * 32)
        with self.assertRaisesRegex(Invalid, "the anchor is a block's hash"):
            verify(RECEIPT, "genesis")
        for other in ("", b"\xff\xfe"):
            with self.assertRaisesRegex(Invalid, "not a receipt"):
                verify(other, ANCHOR)

    def test_every_bit_counts(self):
        chance = random.Random(SEED)
        hexes = list(re.finditer("(?<=0x)[0-9a-f]+", RECEIPT))
        for _ in range(100):
            digits = chance.choice(hexes)
            at = chance.randrange(*digits.span())
            digit = f"{int(RECEIPT[at], 16) ^ 1 << chance.randrange(4):x}"
            with self.assertRaises(Invalid, msg=f"hex digit {at} as {digit}, SEED={SEED}") as refused:
                verify(RECEIPT[:at] + digit + RECEIPT[at + 1 :], ANCHOR)
            self.assertTrue(str(refused.exception))


if __name__ == "__main__":
    unittest.main()
