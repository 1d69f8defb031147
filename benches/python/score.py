"""Times other programs at the engine's work: one JSON line each, for the comparison benches.

    python score.py sentence-transformers MODEL PAIRS...  MODEL from cross_encoder.py
    python score.py onnxruntime MODEL PAIRS...            MODEL a folder of scripts/setup-minilm.sh
    python score.py agree SENTENCE_TRANSFORMERS_MODEL ONNX_MODEL PAIRS

PAIRS is a file of pairs.py; of several each is timed, with the model loaded once. Loading is not timed, tokenizing is; the
first run is not counted. Times are in seconds of the wall clock, `cpu_s` in those of the processors.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
from tokenizers import Tokenizer

TOLERANCE = 1e-3


def read_pairs(path: str) -> list[dict]:
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def timed(score: Callable[[], object], runs: int, seconds: float | None) -> dict:
    """Wall-clock and processor times of `runs` runs, or of as many as begin within `seconds`, after one that is not counted."""
    score()
    wall, cpu = [], []
    while len(wall) < runs if seconds is None else not wall or sum(wall) < seconds:
        before, cpu_before = time.perf_counter(), time.process_time()
        score()
        wall.append(round(time.perf_counter() - before, 6))
        cpu.append(round(time.process_time() - cpu_before, 6))
    return {"median_s": statistics.median(wall), "min_s": min(wall), "times_s": wall, "cpu_s": cpu}


def report(what: str, pairs: list[dict], times: dict, packages: list[str], **settings) -> None:
    rate = {"pairs_per_s": round(len(pairs) / times["median_s"], 2)}
    versions = {package: version(package) for package in packages}
    size = {"pairs": len(pairs), "tokens": sum(pair["tokens"] for pair in pairs)}
    print(json.dumps({"what": what, **size, **settings, **rate, **times, "versions": versions}))


# ---------------------------------------------------------------- sentence-transformers


def load_sentence_transformers(model: str, threads: int, batch_size: int) -> Callable[[list[dict]], np.ndarray]:
    """What gives the pairs' logits with `CrossEncoder.predict`, as its users call it."""
    import torch
    from sentence_transformers import CrossEncoder

    torch.set_num_threads(threads)
    encoder = CrossEncoder(model, device="cpu", max_length=512)

    def score(pairs: list[dict]) -> np.ndarray:
        texts = [(pair["question"], pair["answer"]) for pair in pairs]
        identity = torch.nn.Identity()
        return encoder.predict(texts, batch_size=batch_size, show_progress_bar=False, activation_fn=identity)

    return score


def sentence_transformers(options: argparse.Namespace) -> None:
    score = load_sentence_transformers(options.model, options.threads, options.batch_size)
    settings = {"threads": options.threads, "batch_size": options.batch_size}
    for path in options.pairs:
        pairs = read_pairs(path)
        times = timed(lambda: score(pairs), options.runs, options.seconds)
        report("sentence-transformers", pairs, times, ["sentence-transformers", "transformers", "torch"], **settings)


# ---------------------------------------------------------------- ONNX Runtime


def load_onnxruntime(model: str, threads: int, spinning: bool) -> Callable[[list[dict], list[list[int]]], np.ndarray]:
    """What gives the pairs' logits, batch by batch."""
    import onnxruntime

    folder = pathlib.Path(model)
    manifest = json.loads((folder / "poq.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    path = str(folder / manifest["model"])
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = [value.name for value in session.get_inputs()]

    def score(pairs: list[dict], batches: list[list[int]]) -> np.ndarray:
        logits = np.full(len(pairs), np.nan, np.float32)
        for batch in batches:
            encodings = tokenizer.encode_batch([(pairs[i]["question"], pairs[i]["answer"]) for i in batch])
            if len(encodings[0].ids) > manifest["max_tokens"]:
                sys.exit(f"score: a pair has more than the {manifest['max_tokens']} tokens of {folder}")
            columns = {
                "input_ids": [encoding.ids for encoding in encodings],
                "attention_mask": [encoding.attention_mask for encoding in encodings],
                "token_type_ids": [encoding.type_ids for encoding in encodings],
            }
            feeds = {name: np.array(columns[name], np.int64) for name in inputs}
            logits[batch] = session.run(None, feeds)[0][:, 0]
        return logits

    return score


def make_batches(options: argparse.Namespace, pairs: list[dict]) -> list[list[int]]:
    """Those of the file, which have to hold every pair once; or pairs of like length together."""
    if options.batches is None:
        order = sorted(range(len(pairs)), key=lambda index: pairs[index]["tokens"])
        return [order[start : start + options.batch_size] for start in range(0, len(order), options.batch_size)]
    with open(options.batches, encoding="utf-8") as file:
        batches = [json.loads(line) for line in file if line.strip()]
    if sorted(index for batch in batches for index in batch) != list(range(len(pairs))):
        sys.exit(f"score: {options.batches} does not hold each of the {len(pairs)} pairs exactly once")
    return batches


def with_onnxruntime(options: argparse.Namespace) -> None:
    spinning = options.spinning == "on"
    score = load_onnxruntime(options.model, options.threads, spinning)
    settings = {"model": pathlib.Path(options.model).name, "threads": options.threads, "spinning": spinning}
    for path in options.pairs:
        pairs = read_pairs(path)
        batches = make_batches(options, pairs)
        times = timed(lambda: score(pairs, batches), options.runs, options.seconds)
        padded = sum(len(batch) * max(pairs[index]["tokens"] for index in batch) for batch in batches)
        size = {"batches": len(batches), "tokens_with_padding": padded}
        report("onnxruntime", pairs, times, ["onnxruntime", "tokenizers", "numpy"], **settings, **size)


# ---------------------------------------------------------------- both


def agree(options: argparse.Namespace) -> None:
    """Both programs compute the same function, and the pairs are as long as they say."""
    pairs = read_pairs(options.pairs)
    tokenizer = Tokenizer.from_file(str(pathlib.Path(options.onnx_model) / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    for pair in pairs:
        tokens = len(tokenizer.encode(pair["question"], pair["answer"]).ids)
        if tokens != pair["tokens"]:
            sys.exit(f"score: a pair of {pair['tokens']} tokens has {tokens}")
    expected = load_sentence_transformers(options.model, 2, 32)(pairs)
    found = load_onnxruntime(options.onnx_model, 2, True)(pairs, [[index] for index in range(len(pairs))])
    difference = float(np.abs(expected - found).max())
    spread = [round(float(expected.min()), 4), round(float(expected.max()), 4)]
    print(json.dumps({"what": "agree", "pairs": len(pairs), "logits": spread, "largest_difference": difference}))
    if not difference <= TOLERANCE:
        sys.exit(f"score: the programs' logits differ by {difference}, more than {TOLERANCE}")


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("has to be 1 or more")
    return number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    def command(name: str, run: Callable, *more: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name)
        for argument in ("model", *more):
            sub.add_argument(argument)
        sub.set_defaults(run=run)
        return sub

    for name, run in (("sentence-transformers", sentence_transformers), ("onnxruntime", with_onnxruntime)):
        sub = command(name, run)
        sub.add_argument("pairs", nargs="+")
        sub.add_argument("--threads", type=positive, default=2)
        sub.add_argument("--runs", type=positive, default=5)
        sub.add_argument("--seconds", type=float, help="as many runs as begin within that time, instead of --runs")
        sub.add_argument("--batch-size", type=positive, default=32)
    sub.add_argument("--batches", help="JSONL, a batch a line: a list of indices of pairs, from 0")
    sub.add_argument("--spinning", choices=("on", "off"), default="on", help="whether idle threads wait busily")
    command("agree", agree, "onnx_model").add_argument("pairs")
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
