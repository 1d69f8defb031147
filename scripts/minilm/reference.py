"""Writes what sentence-transformers makes of the pairs in texts.py, for the engine's tests.

    python reference.py SOURCE TARGET      (Python packages: sentence-transformers 6.2.0)

SOURCE is the model's folder (…/minilm/source after scripts/setup-minilm.sh), TARGET offchain-worker/tests/data.
"""

import json
import pathlib
import sys

import numpy as np
import sentence_transformers
import torch
from sentence_transformers import SentenceTransformer

from texts import PAIRS

FIRST_IDS = 32


def write(path: pathlib.Path, made_by: str, max_tokens: int, name: str, rows: list[dict]) -> None:
    """JSON with a row a line; plain ASCII, so that no editor touches the characters."""
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    path.write_text(f'{{\n "made_by": "{made_by}",\n "max_tokens": {max_tokens},\n "{name}": [\n{lines}\n ]\n}}\n')


def main() -> None:
    source, target = map(pathlib.Path, sys.argv[1:])
    torch.set_num_threads(1)
    model = SentenceTransformer(str(source), device="cpu")
    max_tokens = model.max_seq_length
    made_by = f"sentence-transformers {sentence_transformers.__version__}, torch {torch.__version__.split('+')[0]}"
    texts = sorted({text for pair in PAIRS for text in pair})
    # One by one, so that nothing depends on padding.
    vectors = {text: model.encode([text], batch_size=1)[0].astype(np.float64) for text in texts}

    def cosine(a: str, b: str) -> float:
        x, y = vectors[a], vectors[b]
        return round(float(x @ y / np.linalg.norm(x) / np.linalg.norm(y)), 7)

    pairs = [{"question": q, "answer": a, "cosine": cosine(q, a)} for q, a in PAIRS]
    write(target / "minilm-similarities.json", made_by, max_tokens, "pairs", pairs)

    rows = []
    for text in texts:
        ids = model.tokenizer(text, truncation=True, max_length=max_tokens)["input_ids"]
        rows.append({"text": text, "tokens": len(ids), "first_ids": ids[:FIRST_IDS]})
    write(target / "minilm-tokens.json", made_by, max_tokens, "texts", rows)


if __name__ == "__main__":
    main()
