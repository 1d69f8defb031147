"""From trained weights to ONNX files: fp32, int8 (8-bit weights, computed in floats) and dynamic (8-bit products).

The graphs are those of scripts/minilm/export.py. Weights are rounded to 8 bits before anything is measured, and the fp32
file holds the rounded weights: so fp32 and int8 are the same function and differ by the rounding of floats alone.
`dynamic` is twice as fast, and another function.
"""

import importlib.util
import pathlib
import shutil
import time

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto
from tokenizers import Tokenizer

import data
import network
from settings import ROOT

FILES = ("fp32", "int8", "dynamic")
LEVELS = 127
# Arrays of at least so many numbers are kept in 8 bits.
LARGE = 2**16
MOST_BYTES = 24_000_000


def minilm():
    spec = importlib.util.spec_from_file_location("minilm_export", ROOT / "scripts" / "minilm" / "export.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MINILM = minilm()


def rounded(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """`values` as integers of -127..=127, and the step of each line along `axis`."""
    highest = np.abs(values).max(axis=axis, keepdims=True)
    steps = np.where(highest > 0, highest / LEVELS, 1).astype(np.float32)
    return np.rint(values / steps).astype(np.int8), steps


def round_weights(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Large matrices rounded to 8 bits, with a step for each row: an output of the matrix, or a word."""
    made = dict(weights)
    for name, values in weights.items():
        if values.ndim == 2 and values.size >= LARGE:
            integers, steps = rounded(values, 1)
            made[name] = integers * steps
    return made


class Packed(MINILM.Graph):
    """Constants of many floats as 8-bit integers and steps. ONNX Runtime multiplies them once, when it loads the file."""

    # Which axis of a constant goes along a row of the matrix that it was made of.
    @staticmethod
    def along(name: str) -> int:
        if name.endswith("key.weight.heads"):
            return 2
        return 1 if "embeddings" in name or name.endswith("value.weight.heads") else 0

    def constant(self, name: str, values) -> str:
        values = np.asarray(values)
        if values.size < LARGE or not np.issubdtype(values.dtype, np.floating):
            return super().constant(name, values)
        if name not in self.packed:
            integers, steps = rounded(values.astype(np.float32), self.along(name))
            floats = self.add("Cast", super().constant(name + ".integers", integers), to=TensorProto.FLOAT)
            self.packed[name] = self.add("Mul", floats, super().constant(name + ".steps", steps))
        return self.packed[name]

    def __init__(self) -> None:
        super().__init__()
        self.packed: dict[str, str] = {}


def graph(weights: dict[str, np.ndarray], file: str) -> onnx.ModelProto:
    builder = MINILM.Builder(weights, file == "dynamic")
    if file != "fp32":
        builder.graph = Packed()
    return builder.cross_encoder(f"poq-judge-{file}", (weights["head.weight"], weights["head.bias"]))


def export(trained: pathlib.Path, tokenizer: pathlib.Path, folder: pathlib.Path) -> dict:
    """Writes folder/{fp32,int8,dynamic}/{model.onnx,tokenizer.json}; their sizes."""
    state = torch.load(trained, map_location="cpu", weights_only=True)
    weights = {name: values.float().numpy() for name, values in network.in_base_names(state).items()}
    smaller = round_weights(weights)
    sizes = {}
    for file in FILES:
        part = folder / (file + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        onnx.save(graph(weights if file == "dynamic" else smaller, file), str(part / "model.onnx"))
        words = Tokenizer.from_file(str(tokenizer))
        words.no_truncation()
        words.no_padding()
        words.save(str(part / "tokenizer.json"), pretty=False)
        shutil.rmtree(folder / file, ignore_errors=True)
        part.rename(folder / file)
        sizes[file] = sum(path.stat().st_size for path in (folder / file).iterdir())
        if file != "fp32" and sizes[file] > MOST_BYTES:
            raise data.Wrong(f"{folder / file} has {sizes[file]:,} bytes, more than {MOST_BYTES:,}")
    return sizes


class Session:
    """An exported judge in ONNX Runtime."""

    def __init__(self, folder: pathlib.Path, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])

    def logits(self, rows: list[tuple[list[int], list[int]]], at_once: int = 8, name: str = "") -> np.ndarray:
        order = sorted(range(len(rows)), key=lambda place: len(rows[place][0]))
        found, shown = np.zeros(len(rows)), time.monotonic()
        for start in range(0, len(order), at_once):
            some = order[start : start + at_once]
            width = max(len(rows[place][0]) for place in some)
            ids, types, mask = (np.zeros((len(some), width), np.int64) for _ in range(3))
            for line, place in enumerate(some):
                row, kinds = rows[place]
                ids[line, : len(row)], types[line, : len(row)], mask[line, : len(row)] = row, kinds, 1
            inputs = {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}
            found[some] = self.session.run(["logits"], inputs)[0][:, 0]
            if name and time.monotonic() - shown > 20:
                shown = time.monotonic()
                print(f"{name}: {start + len(some)} of {len(rows)} rows")
        return found


def compare(folder: pathlib.Path, rows: list, calibration: dict) -> dict:
    """How far each file's scores are from those of fp32, and the time of a row of full length on one thread."""
    score = lambda numbers: 1 / (1 + np.exp(-(calibration["a"] * numbers + calibration["b"])))
    sessions = {file: Session(folder / file) for file in FILES}
    found, truth = {}, score(sessions["fp32"].logits(rows))
    longest = [max(rows, key=lambda row: len(row[0]))]
    for file, session in sessions.items():
        off = np.abs(score(session.logits(rows)) - truth)
        times = []
        for _ in range(15):
            start = time.perf_counter()
            session.logits(longest)
            times.append(time.perf_counter() - start)
        found[file] = {
            "rows": len(rows),
            "off by, p50": round(float(np.quantile(off, 0.5)), 6),
            "off by, p99": round(float(np.quantile(off, 0.99)), 6),
            "off by, most": round(float(off.max()), 6),
            f"ms for {len(longest[0][0])} tokens, fastest of 15": round(min(times) * 1000, 1),
        }
    return found
