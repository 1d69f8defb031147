"""The data: reading, splits, and the rows of tokens that the network takes."""

import gzip
import hashlib
import json
import os
import pathlib
import random

from tokenizers import Tokenizer

import settings

FIELDS = {"id", "question", "answer", "label", "model", "kind", "source", "group", "chars", "split", "generator_terms"}
KINDS = {"gpt4_score", "model_rating", "degraded"}
TEST_SPLITS = ("test_model", "test_prompt", "test_both")
DEV_SPLITS = ("dev_model", "dev_prompt")


class Wrong(Exception):
    """An error for people: what is wrong and what to do."""


def draw(name: str) -> random.Random:
    """Random numbers of their own for everything that has a name."""
    return random.Random(f"{settings.SEED} {name}")


def part(name: str) -> float:
    """A number in 0..100 that depends on `name` alone."""
    return int(hashlib.sha256(f"{settings.SEED} {name}".encode()).hexdigest()[:8], 16) * 100 / 2**32


def sha256(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path: pathlib.Path, text: str) -> None:
    """Whole or not at all."""
    made = path.with_name(path.name + ".part")
    with open(made, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    made.replace(path)


def read(path: pathlib.Path, any_data: bool) -> list[dict]:
    if not path.is_file():
        raise Wrong(f"{path} is not there; POQ_JUDGE_DATA has to name judge_data.jsonl.gz")
    found = sha256(path)
    if found != settings.DATA_SHA256 and not any_data:
        raise Wrong(f"{path} has the SHA-256 {found}, not that of the recipe's data; --any-data takes it all the same")
    with gzip.open(path, "rt") as file:
        items = [json.loads(line) for line in file]
    for number, item in enumerate(items, 1):
        missing = FIELDS - item.keys()
        if missing:
            raise Wrong(f"{path}, line {number}: the fields {sorted(missing)} are missing")
        if item["kind"] not in KINDS:
            raise Wrong(f"{path}, line {number}: the kind {item['kind']!r} is none of {sorted(KINDS)}")
        if not 0 <= item["label"] <= 1:
            raise Wrong(f"{path}, line {number}: the label {item['label']} is not in 0..=1")
    return items


def usable(item: dict, licence: str) -> bool:
    """Whether an answer may be trained on. Degraded answers do not say whose answer they were made of, so only `all`
    takes them; the others train on worse versions made here of answers that may be used."""
    if item["kind"] == "degraded":
        return licence == "all"
    return item["generator_terms"] in settings.TERMS[licence]


def split(item: dict) -> str:
    """The item's split: the data's own, with `dev_model` and `dev_prompt` taken out of `train`."""
    if item["split"] != "train":
        return item["split"]
    if part(f"dev prompt {item['group']}") < settings.DEV_PROMPTS:
        return "dev_prompt"
    # Whose model is not known (UltraFeedback) is not a model of its own.
    if not item["model"].startswith(("uf-", "degraded")) and part(f"dev model {item['model']}") < settings.DEV_MODELS:
        return "dev_model"
    return "train"


def prepare(items: list[dict], licence: str) -> list[dict]:
    """The items that are used, each with its split. Items that are left out of training are still measured with."""
    seen, kept = set(), []
    for item in items:
        same = (item["question"], item["answer"], item["source"], item["model"])
        where = split(item)
        if same in seen or not item["answer"].strip() or (item["split"] == "train" and not usable(item, licence)):
            continue
        seen.add(same)
        kept.append({key: item[key] for key in FIELDS} | {"split": where})
    return kept


def counts(items: list[dict], key: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in items:
        found[item[key]] = found.get(item[key], 0) + 1
    return dict(sorted(found.items()))


class Rows:
    """Makes rows of tokens of texts, as the engine does with the manifest's `cut`."""

    def __init__(self, tokenizer: pathlib.Path, cut: dict) -> None:
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        # "[SEP]" in an answer is five characters and no separator.
        self.tokenizer.encode_special_tokens = True
        self.cut = cut
        self.start, self.end = (self.tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
        self.known: dict[tuple[str, str], list[int]] = {}

    @property
    def longest(self) -> int:
        return 3 + sum(side["first"] + side["last"] for side in self.cut.values())

    def tokens(self, text: str, side: str) -> list[int]:
        """The tokens that are kept of a text. Where the data hold its two ends only, those of the ends: the same as long as each
        end has as many tokens as are kept of it."""
        head, gap, tail = text.partition(settings.GAP)
        if not gap:
            return self.whole(text, side)
        first, last = self.cut[side]["first"], self.cut[side]["last"]
        tail = self.encode(tail)
        return self.encode(head)[:first] + tail[max(0, len(tail) - last) :]

    def whole(self, text: str, side: str) -> list[int]:
        """The tokens that the engine keeps of this text (`Texts::ends` in offchain-worker/src/evaluator/texts.rs)."""
        first, last = self.cut[side]["first"], self.cut[side]["last"]
        raw, at = text.encode(), settings.BYTES_PER_TOKEN
        if len(raw) <= at * (first + last):
            head = tail = self.encode(text)
            if len(head) <= first + last:
                return head
        else:
            # What is left of a character that was cut through is dropped.
            part = lambda some: self.encode(some.decode(errors="ignore"))
            head, tail = part(raw[: at * first]), part(raw[len(raw) - at * last :])
        return head[:first] + tail[max(0, len(tail) - last) :]

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def kept(self, text: str, side: str) -> list[int]:
        """The same, remembered: for texts that come again in every pass."""
        found = self.known.get((side, text))
        if found is None:
            found = self.known[side, text] = self.tokens(text, side)
        return found

    def row(self, question: list[int], answer: list[int]) -> tuple[list[int], list[int]]:
        """Token ids and type ids of a pair."""
        ids = [self.start, *question, self.end, *answer, self.end]
        return ids, [0] * (len(question) + 2) + [1] * (len(answer) + 1)

    def pair(self, question: str, answer: str) -> tuple[list[int], list[int]]:
        return self.row(self.tokens(question, "question"), self.tokens(answer, "answer"))
