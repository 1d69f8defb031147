"""Checks the form of models/poq-judge/suite.jsonl and prints how lengths are balanced. Needs no package.

    python3 scripts/judge/suite.py
"""

import json
import pathlib
import sys

import phrases

FILE = pathlib.Path(__file__).resolve().parent.parent.parent / "models" / "poq-judge" / "suite.jsonl"
KINDS = (
    "padded", "repeated", "flattering", "formatted", "off_topic", "wrong_language", "evasive", "confidently_wrong",
    "judge_pleasing", "truncated", "altered_facts",
)  # fmt: skip
FIELDS = ["id", "kind", "question", "good", "worse"]
LEAST, LEAST_OF_A_KIND = 300, 25
# Bounds of the share of pairs of a kind whose good answer is the longer one.
BALANCE = (0.4, 0.6)


def read(file: pathlib.Path = FILE) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def mistakes(pairs: list[dict]) -> list[str]:
    found = []
    ids, worse = set(), set()
    for number, pair in enumerate(pairs, 1):
        name = f"line {number}"
        if list(pair) != FIELDS or not all(isinstance(value, str) and value.strip() for value in pair.values()):
            found.append(f"{name}: it has to have the fields {FIELDS}, each a text")
            continue
        name = f"line {number}, {pair['id']}"
        if pair["kind"] not in KINDS:
            found.append(f"{name}: the kind {pair['kind']!r} is none of {KINDS}")
        if pair["id"] in ids:
            found.append(f"{name}: the id is taken")
        if (pair["question"], pair["worse"]) in worse:
            found.append(f"{name}: the same pair is there already")
        if pair["good"] == pair["worse"]:
            found.append(f"{name}: both answers are the same")
        for line in sum(phrases.ALL.values(), []):
            if all(part in pair["worse"] for part in line.split("{t}") if len(part) > 8) and len(line) > 12:
                found.append(f"{name}: it has the training phrase {line!r}")
        ids.add(pair["id"])
        worse.add((pair["question"], pair["worse"]))
    if len(pairs) < LEAST:
        found.append(f"{len(pairs)} pairs; there have to be {LEAST} or more")
    for kind, (count, share) in balance(pairs).items():
        if count < LEAST_OF_A_KIND:
            found.append(f"{kind}: {count} pairs; there have to be {LEAST_OF_A_KIND} or more")
        if not BALANCE[0] <= share <= BALANCE[1]:
            found.append(f"{kind}: the good answer is longer in {share:.0%}; it has to be {BALANCE[0]:.0%} to {BALANCE[1]:.0%}")
    return found


def balance(pairs: list[dict]) -> dict[str, tuple[int, float]]:
    """Pairs of each kind, and the share of those whose good answer is the longer one."""
    found = {}
    for kind in KINDS:
        longer = [len(pair["good"]) > len(pair["worse"]) for pair in pairs if pair.get("kind") == kind]
        found[kind] = (len(longer), sum(longer) / max(1, len(longer)))
    return found


def main() -> None:
    pairs = read()
    print(f"{FILE.name}: {len(pairs)} pairs, {len({pair['question'] for pair in pairs})} questions")
    for kind, (count, share) in balance(pairs).items():
        print(f"{kind:18} {count:3} pairs, the good answer is longer in {share:.0%}")
    found = mistakes(pairs)
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
