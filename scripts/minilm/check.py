"""Holds the folders of setup-minilm.sh to the references in offchain-worker/tests/data.

    python check.py MODELS DATA      (Python packages: numpy, onnxruntime, tokenizers)

The sentence encoder in 32-bit floats has to give sentence-transformers' cosines to 1e-5, and every network the same alone
as in a padded batch, to 1e-6. Of the others it prints how far they are off: 8 bits from 32, of cosines and of the untrained cross-encoder's logits.
"""

import json
import pathlib
import sys

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

TOLERANCE = 1e-5
BATCH_TOLERANCE = 1e-6
BATCH = 8


class Folder:
    def __init__(self, folder: pathlib.Path, max_tokens: int) -> None:
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(max_tokens)
        self.tokenizer.no_padding()

    def run(self, texts: list, batch: int) -> list[np.ndarray]:
        """One output a text or pair, without the padding's rows; `batch` of them at a time."""
        outputs = []
        for start in range(0, len(texts), batch):
            encodings = self.tokenizer.encode_batch(texts[start : start + batch])
            lengths = [len(encoding.ids) for encoding in encodings]
            for encoding in encodings:
                encoding.pad(max(lengths))
            columns = {
                "input_ids": [encoding.ids for encoding in encodings],
                "attention_mask": [encoding.attention_mask for encoding in encodings],
                "token_type_ids": [encoding.type_ids for encoding in encodings],
            }
            feeds = {name: np.array(values, np.int64) for name, values in columns.items()}
            rows = self.session.run(None, feeds)[0]
            outputs += [row[:length] for row, length in zip(rows, lengths)]
        return outputs


def cosines(folder: Folder, pairs: list[dict], batch: int) -> np.ndarray:
    sides = []
    for side in ("question", "answer"):
        means = np.array([rows.mean(axis=0) for rows in folder.run([pair[side] for pair in pairs], batch)], np.float64)
        sides.append(means / np.linalg.norm(means, axis=1, keepdims=True))
    return (sides[0] * sides[1]).sum(axis=1)


def main() -> None:
    models, data = map(pathlib.Path, sys.argv[1:])
    reference = json.loads((data / "minilm-similarities.json").read_text())
    pairs, max_tokens = reference["pairs"], reference["max_tokens"]
    expected = np.array([pair["cosine"] for pair in pairs])
    wrong = False
    for kind in ("fp32", "int8"):
        folder = Folder(models / f"minilm-bi-{kind}", max_tokens)
        alone = cosines(folder, pairs, 1)
        together = cosines(folder, pairs, BATCH)
        errors = np.abs(alone - expected)
        print(f"bi {kind}: cosines off by {errors.max():.1e} at most, {errors.mean():.1e} on average;", end=" ")
        print(f"alone or in batches of {BATCH}: {np.abs(alone - together).max():.1e}")
        wrong |= kind == "fp32" and errors.max() > TOLERANCE
        wrong |= np.abs(alone - together).max() > BATCH_TOLERANCE

    texts = json.loads((data / "minilm-tokens.json").read_text())["texts"]
    for row in texts:
        ids = folder.tokenizer.encode(row["text"]).ids
        wrong |= len(ids) != row["tokens"] or ids[: len(row["first_ids"])] != row["first_ids"]

    both = [(pair["question"], pair["answer"]) for pair in pairs]
    logits = {}
    for kind in ("fp32", "int8"):
        folder = Folder(models / f"minilm-cross-{kind}", 512)
        logits[kind] = np.concatenate(folder.run(both, 1)).ravel()
        together = np.concatenate(folder.run(both, BATCH)).ravel()
        print(f"cross {kind}: logits from {logits[kind].min():.2f} to {logits[kind].max():.2f};", end=" ")
        print(f"alone or in batches of {BATCH}: {np.abs(logits[kind] - together).max():.1e}")
        wrong |= np.abs(logits[kind] - together).max() > BATCH_TOLERANCE
    errors = np.abs(logits["fp32"] - logits["int8"])
    print(f"cross int8: logits off by {errors.max():.1e} at most, {errors.mean():.1e} on average")
    sys.exit("check: not as sentence-transformers has it" if wrong else 0)


if __name__ == "__main__":
    main()
