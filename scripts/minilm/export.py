"""Writes all-MiniLM-L6-v2 as ONNX files for the engine: folders with model.onnx, tokenizer.json and poq.json.

    python export.py SOURCE TARGET

SOURCE is the model's folder (model.safetensors, tokenizer.json), TARGET gets four folders:

    minilm-bi-fp32, minilm-bi-int8        the real sentence encoder
    minilm-cross-fp32, minilm-cross-int8  UNTRAINED HEAD, for speed only: the shape and cost of a cross-encoder

The graphs are put together here, operator by operator; README.md says why each looks as it does.
"""

import hashlib
import json
import pathlib
import shutil
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

LAYERS = 6
HIDDEN = 384
HEADS = 12
HEAD_SIZE = HIDDEN // HEADS
# Queries and keys of a head, with room for the mask; see `attention`. (A multiple of 4 gives the same bits for any padding.)
WIDE_HEAD_SIZE = HEAD_SIZE + 4
ABSENT = -1e4
EPSILON = 1e-12
MICROSOFT = "com.microsoft"

# int8: u8 activations times s8 weights. On processors without VNNI instructions, ONNX Runtime adds two products in 16
# bits, which must not overflow: 2 * 255 * 63 fits, 2 * 255 * 127 would not. So weights keep 7 bits, and every processor
# computes the same integers. (7-bit activations with 8-bit weights do it too, and measured worse.)
ACTIVATION_MAX = 127
ACTIVATION_ZERO = 128
WEIGHT_MAX = 63

# The cross-encoder's head is drawn, not trained.
HEAD_SEED = 20241117
HEAD_DEVIATION = 0.1
UNTRAINED = "MiniLM-L6-cross-encoder-UNTRAINED-HEAD-for-speed-only"


def untrained_head() -> tuple[np.ndarray, np.ndarray]:
    """Weight [1, HIDDEN] and bias [1] of the cross-encoder's last layer: noise from a fixed seed."""
    noise = np.random.default_rng(HEAD_SEED).standard_normal((1, HIDDEN))
    return (noise * HEAD_DEVIATION).astype(np.float32), np.zeros(1, np.float32)


class Graph:
    """Nodes and constants, in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, values) -> str:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.asarray(values, order="C"), name)
        return name

    def ints(self, *values: int) -> str:
        return self.constant("ints" + "".join(f"_{value}" for value in values), np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        return self.constant(f"scalar_{value}", np.float32(value))

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes) -> str:
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, domain=domain, **attributes))
        return name


class Builder:
    """The network's parts, in 32-bit floats or with 8-bit matrix products."""

    def __init__(self, weights: dict[str, np.ndarray], int8: bool) -> None:
        self.weights = dict(weights)
        self.int8 = int8
        self.graph = Graph()
        self.quantised: dict[str, tuple[str, str]] = {}

    def weight(self, name: str) -> str:
        return self.graph.constant(name, self.weights[name])

    def embeddings(self) -> str:
        """[batch, sequence, HIDDEN]"""
        g = self.graph
        length = g.add("Shape", "input_ids", start=1, end=2)
        positions = g.add("Slice", self.weight("embeddings.position_embeddings.weight"), g.ints(0), length)
        words = "embeddings.word_embeddings.weight"
        if self.int8:
            # Half the file for a rounding of 2^-11; looking words up costs nothing either way.
            table = g.constant(words, self.weights[words].astype(np.float16))
            word = g.add("Cast", g.add("Gather", table, "input_ids"), to=TensorProto.FLOAT)
        else:
            word = g.add("Gather", self.weight(words), "input_ids")
        kind = g.add("Gather", self.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
        return self.normalised(g.add("Sum", word, kind, positions), "embeddings.LayerNorm")

    def normalised(self, x: str, name: str) -> str:
        return self.graph.add(
            "LayerNormalization", x, self.weight(name + ".weight"), self.weight(name + ".bias"), axis=-1, epsilon=EPSILON
        )

    def residual(self, x: str, y: str, bias: str, norm: str) -> str:
        # `Sum`, for `Add` before a LayerNormalization is fused by ONNX Runtime into an operator that takes four times as
        # long as the two.
        return self.normalised(self.graph.add("Sum", x, y, self.weight(bias)), norm)

    def product(self, x: str, name: str) -> str:
        """x times the matrix `name`, without its bias."""
        if not self.int8:
            return self.graph.add("MatMul", x, self.graph.constant(name + ".T", self.weights[name].T))
        g = self.graph
        integers, scale = self.quantise(x)
        matrix = self.weights[name].T
        highest = np.abs(matrix).max(axis=0)
        steps = np.where(highest > 0, highest / WEIGHT_MAX, 1)
        rounded = np.rint(matrix / steps).astype(np.int8)
        y = g.add(
            "MatMulIntegerToFloat",
            integers,
            g.constant(name + ".T", rounded),
            g.scalar(1.0),
            g.constant(name + ".steps", steps.astype(np.float32)),
            g.constant("activation_zero", np.uint8(ACTIVATION_ZERO)),
            g.constant(f"zeros_{len(steps)}", np.zeros(len(steps), np.int8)),
            domain=MICROSOFT,
        )
        return g.add("Mul", y, scale)

    def quantise(self, x: str) -> tuple[str, str]:
        """x as integers, and the step of each row. Row by row, so that a text's result does not depend on what else is
        in the batch: ONNX Runtime's own dynamic quantisation takes one step for all of it, padding included."""
        if x not in self.quantised:
            g = self.graph
            highest = g.add("ReduceMax", x, g.ints(-1))
            lowest = g.add("Neg", g.add("ReduceMin", x, g.ints(-1)))
            step = g.add("Mul", g.add("Max", highest, lowest), g.scalar(1 / ACTIVATION_MAX))
            zero = g.constant("activation_zero", np.uint8(ACTIVATION_ZERO))
            self.quantised[x] = g.add("QuantizeLinear", g.add("Div", x, step), g.scalar(1.0), zero), step
        return self.quantised[x]

    def widened(self, name: str, first: float = 0.0) -> np.ndarray:
        """The rows of matrix or vector `name`, with those that make each head's queries or keys wide: `first`, then 0."""
        rows = self.weights[name].reshape(HEADS, HEAD_SIZE, -1)
        more = np.zeros((HEADS, WIDE_HEAD_SIZE - HEAD_SIZE, rows.shape[2]), np.float32)
        more[:, 0] = first
        return np.concatenate([rows, more], axis=1).reshape(HEADS * WIDE_HEAD_SIZE, *self.weights[name].shape[1:])

    def attention(self, x: str, layer: str) -> str:
        """All heads' contexts, [batch, sequence, HIDDEN].

        Only without a mask does ONNX Runtime use its blockwise attention, which is a third faster, and makes nothing as
        large as the square of the length. So the mask travels inside: one more number of every query is 1, and of every
        key 0, or far below 0 where the token is padding.
        """
        g = self.graph
        query, key, value = (layer + f"attention.self.{part}" for part in ("query", "key", "value"))
        for part in (query, key):
            self.weights[part + ".weight.wide"] = self.widened(part + ".weight")
        queries = self.product(x, query + ".weight.wide")
        keys = g.add("Sum", self.product(x, key + ".weight.wide"), "mask")
        values = self.product(x, value + ".weight")
        biases = [self.widened(query + ".bias", 1.0), self.widened(key + ".bias"), self.weights[value + ".bias"]]
        bias = g.constant(layer + "attention.self.bias", np.concatenate(biases))
        settings = {"num_heads": HEADS, "scale": HEAD_SIZE**-0.5}
        return g.add("MultiHeadAttention", queries, keys, values, bias, domain=MICROSOFT, **settings)

    def feed_forward(self, x: str, layer: str) -> str:
        inner = self.product(x, layer + "intermediate.dense.weight")
        inner = self.graph.add("BiasGelu", inner, self.weight(layer + "intermediate.dense.bias"), domain=MICROSOFT)
        outer = self.product(inner, layer + "output.dense.weight")
        return self.residual(outer, x, layer + "output.dense.bias", layer + "output.LayerNorm")

    def after_attention(self, context: str, x: str, layer: str) -> str:
        output = layer + "attention.output."
        y = self.product(context, output + "dense.weight")
        y = self.residual(y, x, output + "dense.bias", output + "LayerNorm")
        return self.feed_forward(y, layer)

    def mask(self) -> None:
        """`absent`, 1 where a token is padding, [batch, sequence]; `mask`, what that adds to the keys."""
        g = self.graph
        present = g.add("Cast", "attention_mask", to=TensorProto.FLOAT)
        g.nodes.append(helper.make_node("Sub", [g.scalar(1.0), present], ["absent"], name="absent"))
        places = np.zeros((HEADS, WIDE_HEAD_SIZE), np.float32)
        places[:, HEAD_SIZE] = ABSENT
        inputs = [g.add("Unsqueeze", "absent", g.ints(2)), g.constant("places", places.ravel())]
        g.nodes.append(helper.make_node("Mul", inputs, ["mask"], name="mask"))

    def layers(self, count: int) -> str:
        self.mask()
        x = self.embeddings()
        for number in range(count):
            layer = f"encoder.layer.{number}."
            x = self.after_attention(self.attention(x, layer), x, layer)
        return x

    def heads_matrices(self, name: str) -> np.ndarray:
        """The rows of matrix `name` by head: [HEADS, HEAD_SIZE, HIDDEN]."""
        return self.weights[name].reshape(HEADS, HEAD_SIZE, HIDDEN)

    def first_tokens_context(self, x: str, first: str, layer: str) -> str:
        """The last layer's attention as far as the first token needs it: [batch, HIDDEN].

        With one query, q·(K x) is (Kᵀq)·x and the weighted mean of V x is V times that of x, so neither keys nor values
        need be made for every token. The keys' bias moves all weights alike and cancels; the values' passes through
        the mean, whose weights add up to one.
        """
        g = self.graph
        own = layer + "attention.self."
        matrix = g.constant(own + "query.weight.T", self.weights[own + "query.weight"].T)
        query = g.add("Add", g.add("MatMul", first, matrix), self.weight(own + "query.bias"))
        query = g.add("Mul", query, g.scalar(HEAD_SIZE**-0.5))
        query = g.add("Transpose", g.add("Reshape", query, g.ints(0, HEADS, HEAD_SIZE)), perm=[1, 0, 2])
        keys = g.constant(own + "key.weight.heads", self.heads_matrices(own + "key.weight"))
        asked = g.add("Transpose", g.add("MatMul", query, keys), perm=[1, 0, 2])

        scores = g.add("FusedMatMul", asked, x, domain=MICROSOFT, transB=1)
        mask = g.add("Unsqueeze", g.add("Mul", "absent", g.scalar(ABSENT)), g.ints(1))
        seen = g.add("MatMul", g.add("Softmax", g.add("Add", scores, mask), axis=-1), x)

        values = self.heads_matrices(own + "value.weight").transpose(0, 2, 1)
        values = g.constant(own + "value.weight.heads", values)
        context = g.add("MatMul", g.add("Transpose", seen, perm=[1, 0, 2]), values)
        context = g.add("Reshape", g.add("Transpose", context, perm=[1, 0, 2]), g.ints(0, HIDDEN))
        return g.add("Add", context, self.weight(own + "value.bias"))

    def bi_encoder(self) -> onnx.ModelProto:
        """Output `last_hidden_state`: [batch, sequence, HIDDEN]."""
        last = self.layers(LAYERS)
        self.graph.nodes.append(helper.make_node("Identity", [last], ["last_hidden_state"], name="output"))
        shape = ["batch", "sequence", HIDDEN]
        return self.model("all-MiniLM-L6-v2", helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, shape))

    def cross_encoder(self, name: str = UNTRAINED, head: tuple[np.ndarray, np.ndarray] | None = None) -> onnx.ModelProto:
        """Output `logits`: [batch, 1], of `head` (its weight and bias), or of one that nobody trained."""
        g = self.graph
        x = self.layers(LAYERS - 1)
        first = g.add("Gather", x, g.constant("first", np.int64(0)), axis=1)
        layer = f"encoder.layer.{LAYERS - 1}."
        # What is left is a few rows: too little to gain by 8 bits.
        self.int8 = False
        last = self.after_attention(self.first_tokens_context(x, first, layer), first, layer)
        pooler = g.constant("pooler.dense.weight.T", self.weights["pooler.dense.weight"].T)
        pooled = g.add("Tanh", g.add("Add", g.add("MatMul", last, pooler), self.weight("pooler.dense.bias")))
        weight, bias = untrained_head() if head is None else head
        product = g.add("MatMul", pooled, g.constant("head.weight.T", weight.T))
        g.nodes.append(helper.make_node("Add", [product, g.constant("head.bias", bias)], ["logits"], name="output"))
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1])
        return self.model(name, logits)

    def model(self, name: str, output: onnx.ValueInfoProto) -> onnx.ModelProto:
        inputs = [
            helper.make_tensor_value_info(input_name, TensorProto.INT64, ["batch", "sequence"])
            for input_name in ("input_ids", "attention_mask", "token_type_ids")
        ]
        graph = helper.make_graph(self.graph.nodes, name, inputs, [output], list(self.graph.constants.values()))
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="proof-of-quality")


def write_folder(folder: pathlib.Path, model: onnx.ModelProto, tokenizer: pathlib.Path, **manifest) -> None:
    """An evaluator's folder; the manifest names every file by its hash."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    onnx.save(model, str(folder / "model.onnx"))
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("model.onnx", "tokenizer.json")}
    content = {"format": 1, "kind": manifest.pop("kind"), "model": "model.onnx", "files": files, **manifest}
    (folder / "poq.json").write_text(json.dumps(content, indent=2) + "\n")


def main() -> None:
    source, target = map(pathlib.Path, sys.argv[1:])
    weights = load_file(source / "model.safetensors")
    tokenizer = source / "tokenizer.json"
    for int8 in (False, True):
        kind = "int8" if int8 else "fp32"
        write_folder(
            target / f"minilm-bi-{kind}",
            Builder(weights, int8).bi_encoder(),
            tokenizer,
            kind="bi_encoder",
            max_tokens=256,
            pooling="mean",
            # Not fitted to anything: a score of one half at a cosine of one half.
            calibration={"a": 8.0, "b": -4.0},
        )
        write_folder(
            target / f"minilm-cross-{kind}",
            Builder(weights, int8).cross_encoder(),
            tokenizer,
            kind="cross_encoder",
            max_tokens=512,
            pooling="mean",
            calibration={"a": 1.0, "b": 0.0},
        )


if __name__ == "__main__":
    main()
