"""Everything that a judge depends on: data, cut, splits, schedule. Change it here and nowhere else."""

import dataclasses
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SUITE = ROOT / "models" / "poq-judge" / "suite.jsonl"

SEED = 20261130

# SHA-256 of judge_data.jsonl.gz. Other data take the option --any-data.
DATA_SHA256 = "9271ee7f8f1680245a04239034116533cbb7480c616dd75e1fde04868b901fd9"

# How a pair is cut: tokens kept of the beginning and of the end of each text. A text of at most first + last tokens is
# kept whole. The manifest carries these numbers, and the engine has to cut the same way.
CUT = {"question": {"first": 32, "last": 16}, "answer": {"first": 100, "last": 40}}

# Bytes that are looked at for each token that is kept: of a text with more, only so many of its beginning and of its end are
# read. The engine's number (`BYTES_PER_TOKEN` in offchain-worker/src/evaluator/texts.rs).
BYTES_PER_TOKEN = 64

# The data hold the head and the tail of a long text with this between them. The head of an answer has 1,300 characters,
# its tail 400: enough for CUT up to about 200 first and 70 last tokens.
GAP = " […] "

# Which answers may be trained on, by the column `generator_terms`. `shipped` is what issue 19 asks for.
OPEN = "open (Apache-2.0 or MIT)"
TERMS = {
    "shipped": {
        OPEN,
        "Llama family",
        "api (OpenAI, Anthropic, Google and other services)",
        "mixed (UltraFeedback: 17 models)",
    },
    "open": {OPEN},
}
TERMS["all"] = TERMS["shipped"] | {
    "own community licence (Qwen, DBRX, DeepSeek, Gemma)",
    "research or non-commercial weights",
}

# Parts of the training split that are kept for choosing and calibrating, in per cent. The test splits are for the
# figures only.
DEV_MODELS = 7
DEV_PROMPTS = 5
# Parts of the hand-written phrases of worse.py that are never trained on, in per cent.
HELD_OUT_PHRASES = 20

# "Clearly different labels": what two answers to one prompt differ by to count in the pair accuracy. With 0.05, length
# alone is right in 0.68 of the pairs of unseen models and of those of unseen prompts; with 0.1, in 0.73 and 0.71.
CLEAR = 0.05


@dataclasses.dataclass
class Schedule:
    """How long and how fast to train. Counts steps, never time."""

    steps: int = 1600
    # Steps with a rising rate, and the part of all steps at the end in which the rate falls to nothing.
    warm: int = 60
    fall: float = 0.35
    rate: float = 1e-4
    head_rate: float = 8e-4
    decay: float = 0.01
    # Real answers of one step, and the worse versions made of some of them.
    rows: int = 32
    made: int = 10
    group: int = 4
    # Parts of the groups whose answers are all shown without Markdown, and of those all cut to one length, so that the
    # network has to look for something else than layout and length.
    plain: float = 0.25
    level: float = 0.2
    dropout: float = 0.1
    # Weights that are exported: a running mean over about 1 / (1 - mean) steps.
    mean: float = 0.995
    save_every: int = 50
    dev_every: int = 250
    dev_rows: int = 1000
