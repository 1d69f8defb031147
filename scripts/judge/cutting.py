"""Examples of pairs and the rows that they are cut to, for the engine's tests: offchain-worker/tests/data/cutting.json.

    PYTHONPATH=FOLDER_WITH_TOKENIZERS python3 scripts/judge/cutting.py

writes the file; only the package `tokenizers` is needed. The tokenizer is the small one of tests/data/shapes/bert.
"""

import json
import pathlib

import data
from settings import BYTES_PER_TOKEN, ROOT

FOLDER = ROOT / "offchain-worker" / "tests" / "data"
TOKENIZER = FOLDER / "shapes" / "bert" / "tokenizer.json"
EXAMPLES = FOLDER / "cutting.json"

CUTS = [(8, 4, 12, 5), (3, 0, 20, 1), (1, 1, 1, 26)]
MAX_TOKENS = 32


def cut_of(numbers: tuple[int, int, int, int]) -> dict:
    a, b, c, d = numbers
    return {"question": {"first": a, "last": b}, "answer": {"first": c, "last": d}}


def pairs(cut: dict) -> list[tuple[str, str]]:
    """Texts that are shorter, just as long, and longer than what is kept, in tokens and in bytes."""
    question = "What is the capital of Peru, and why does it lie near the sea?"
    words = "Lima is the capital of Peru. It was founded in 1535, and its harbour made it rich."
    most = BYTES_PER_TOKEN * (cut["answer"]["first"] + cut["answer"]["last"])
    long = (words + " ") * (most // len(words) + 2)
    return [
        ("", ""),
        ("Why?", "Because."),
        (question, words),
        (question * 3, words * 3),
        (question, "a " * 300),
        # Special tokens that a text spells, and characters that no vocabulary has.
        ("What is [SEP]?", "[CLS] [PAD] [MASK] [UNK] a [SEP] b"),
        ("naïve Ünï¢ødé 日本語?", "日本語のテキスト " * 4 + "🦀🦀🦀"),
        # Around the number of bytes beyond which only the ends are looked at.
        (question, long[:most]),
        (question, long[: most + 1]),
        (question, "x" + long[:most]),
        (question, "é" * (most // 2)),
        (question, "é" * (most // 2) + "."),
        (question, "." + "é" * (most // 2)),
        (question, "🦀" * most),
        (question, "a" * (most + 5)),
        (question, " " * most + words),
        (question, words + " " * most),
        (long, long),
    ]


def examples() -> dict:
    cases = []
    for numbers in CUTS:
        cut = cut_of(numbers)
        rows = data.Rows(TOKENIZER, cut)
        for question, answer in pairs(cut):
            ids, types = rows.row(rows.whole(question, "question"), rows.whole(answer, "answer"))
            cases.append({"cut": cut, "question": question, "answer": answer, "ids": ids, "types": types})
    return {"max_tokens": MAX_TOKENS, "cases": cases}


def text() -> str:
    made = examples()
    cases = ",\n".join(json.dumps(case, ensure_ascii=False) for case in made["cases"])
    return f'{{"max_tokens": {made["max_tokens"]}, "cases": [\n{cases}\n]}}\n'


if __name__ == "__main__":
    data.write(EXAMPLES, text())
    print(EXAMPLES)
