"""Writes tiny evaluators of every shape that the engine feeds, with weights from a fixed seed, for its tests.

    python shapes.py [NAME ...]      (Python packages: requirements.txt and requirements-shapes.txt)

Each folder under offchain-worker/tests/data/shapes/ gets model.onnx, tokenizer.json, poq.json, and reference.json: what
`transformers` and PyTorch make of a few pairs. The networks are real classes of `transformers`, only small; nobody
trained them, so their numbers mean nothing except that the engine has to find the same.

The tokenizers' trainers number tokens in no fixed order, so a tokenizer.json that is there is used again.
"""

import hashlib
import json
import pathlib
import sys
import warnings

import numpy as np
import onnxruntime
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

TARGET = pathlib.Path(__file__).resolve().parents[2] / "offchain-worker" / "tests" / "data" / "shapes"
SEED = 20241117
HIDDEN, LAYERS, HEADS, FEED = 24, 2, 3, 48
# Ten times the usual deviation, so that pairs differ by more than rounding.
SPREAD = 0.25

TEXT = """
The river rises in the hills above the village and runs for forty miles before it meets the sea.
What is the capital of the country, and how many people live there? Nobody has counted them since the war.
A good answer says what was asked, gives a reason, and stops. A bad answer is long and says nothing.
Water boils at one hundred degrees, unless you are on a mountain, where the pressure of the air is lower.
She wrote to her brother that the harvest had been poor, that the price of bread had doubled, and that she was well.
Why does iron rust? Because oxygen and water together take electrons from the metal; salt makes it faster.
Please explain how a bridge carries its weight. The arch turns the load into pressure along the stones.
Numbers such as 3, 14, 159, 2653 and 58979 are hard to remember; words are easier: red, green, blue, yellow, black.
The committee met on Tuesday, discussed the proposal for two hours, and rejected it by seven votes to four.
To sort a list, compare neighbours and swap them where they are in the wrong order; repeat until nothing moves.
Is it true that whales are fish? No, they are mammals: they breathe air, are warm, and feed milk to their young.
Don't worry about the weather (it's only rain); we'll take the train, which isn't late "very often", they say.
El agua hierve a cien grados. Das Wasser kocht bei hundert Grad. L'eau bout à cent degrés, n'est-ce pas ?
水在一百度沸腾。 Вода кипит при ста градусах. الماء يغلي عند مئة درجة. पानी सौ डिग्री पर उबलता है।
""".strip().splitlines()

LONG = " ".join(TEXT[:12])
PAIRS = [
    ("What is the capital of the country?", "Nobody has counted the people who live in the capital."),
    ("Why does iron rust?", "Because oxygen and water together take electrons from the metal."),
    ("Why does iron rust?", "The committee met on Tuesday."),
    ("", ""),
    ("Is it true that whales are fish?", ""),
    ("", "No, they are mammals."),
    ("How does a bridge carry its weight?", LONG),
    (LONG, "The arch turns the load into pressure."),
    (LONG, LONG[::-1]),
    ("水在多少度沸腾？", "水在一百度沸腾。"),
    ("متى يغلي الماء؟", "الماء يغلي عند مئة درجة. पानी सौ डिग्री पर उबलता है।"),
    ("Hello 👋🏽 \U0001f1ea\U0001f1fa?", "🎉🎉🎉 👩‍👩‍👧‍👦 zürich naïve café \u0065\u0301"),
    ("a\u0000b\u0007c\u001b[0m\u200b\ufeffd", "line\r\n\tbreak\u2028here\u00a0\u3000end\ufffd\ue000"),
    ("?!…,.;:—()[]{}", "   \n\t  "),
]


def share_window(window: int, question: int, answer: int) -> tuple[int, int]:
    """The engine's rule: the answer is cut first, but keeps half of the window."""
    for_answer = min(answer, max(window - question, window // 2, 0))
    return min(question, max(window - for_answer, 0)), for_answer


# ---------------------------------------------------------------- tokenizers


def template(tokenizer: Tokenizer) -> processors.TemplateProcessing:
    special = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    pair = "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"
    return processors.TemplateProcessing(single="[CLS]:0 $A:0 [SEP]:0", pair=pair, special_tokens=special)


def word_piece(vocabulary: int, bert_processing: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    if bert_processing:
        cls, sep = (tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", sep), ("[CLS]", cls))
    else:
        tokenizer.post_processor = template(tokenizer)
    return tokenizer


def byte_level_bpe(vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def unigram(vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    spaces = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Strip(), spaces])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary, special_tokens=special, unk_token="[UNK]", show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.post_processor = template(tokenizer)
    return tokenizer


# ---------------------------------------------------------------- networks


def sizes(tokenizer: Tokenizer, **more) -> dict:
    return {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": FEED,
        "initializer_range": SPREAD,
        "attn_implementation": "eager",
        **more,
    }


def bert(tokenizer: Tokenizer, max_tokens: int, labels: int) -> torch.nn.Module:
    config = BertConfig(**sizes(tokenizer, max_position_embeddings=max_tokens, num_labels=labels))
    return BertForSequenceClassification(config)


def roberta(tokenizer: Tokenizer, max_tokens: int) -> torch.nn.Module:
    # Positions start behind the padding token's, at 2.
    positions = max_tokens + 2
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    config = RobertaConfig(
        **sizes(tokenizer, max_position_embeddings=positions, num_labels=1, type_vocab_size=1, **ids)
    )
    return RobertaForSequenceClassification(config)


def deberta(tokenizer: Tokenizer, max_tokens: int) -> torch.nn.Module:
    settings = sizes(
        tokenizer,
        max_position_embeddings=max_tokens,
        num_labels=1,
        type_vocab_size=0,
        relative_attention=True,
        position_buckets=16,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        pooler_hidden_size=HIDDEN,
    )
    return DebertaV2ForSequenceClassification(DebertaV2Config(**settings))


class Bare(torch.nn.Module):
    """A network that takes its inputs by position and gives one tensor, as an ONNX file does."""

    def __init__(self, network: torch.nn.Module, inputs: list[str], output: str) -> None:
        super().__init__()
        self.network, self.inputs, self.output = network, inputs, output

    def forward(self, *values):
        return self.network(**dict(zip(self.inputs, values)))[self.output]


def export(network: Bare, path: pathlib.Path) -> None:
    """Traces the network; batch and length stay free."""
    example = tuple(torch.ones(2, 9, dtype=torch.int64) for _ in network.inputs)
    free = {0: "batch", 1: "sequence"}
    axes = {name: free for name in network.inputs}
    axes[network.output] = free if network.output == "last_hidden_state" else {0: "batch"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            example,
            str(path),
            input_names=network.inputs,
            output_names=[network.output],
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )


# ---------------------------------------------------------------- references


def encoded_pair(tokenizer: Tokenizer, max_tokens: int, question: str, answer: str):
    q = tokenizer.encode(question, add_special_tokens=False)
    a = tokenizer.encode(answer, add_special_tokens=False)
    window = max_tokens - tokenizer.num_special_tokens_to_add(True)
    keep = share_window(window, len(q), len(a))
    q.truncate(keep[0])
    a.truncate(keep[1])
    return tokenizer.post_process(q, a, True)


def columns(encoding, inputs: list[str]) -> list[torch.Tensor]:
    values = {
        "input_ids": encoding.ids,
        "attention_mask": encoding.attention_mask,
        "token_type_ids": encoding.type_ids,
    }
    return [torch.tensor([values[name]], dtype=torch.int64) for name in inputs]


def both(network: Bare, session: onnxruntime.InferenceSession, values: list[torch.Tensor]) -> np.ndarray:
    """PyTorch's output; ONNX Runtime's has to be the same."""
    with torch.no_grad():
        expected = network(*values).numpy()
    feeds = {name: value.numpy() for name, value in zip(network.inputs, values)}
    found = session.run(None, feeds)[0]
    assert expected.shape == found.shape and np.abs(expected - found).max() < 2e-5, (expected, found)
    return expected


def check_padding(tokenizer, network, session, encodings, rows) -> None:
    """The same pairs in one padded batch give the same numbers."""
    longest = max(len(encoding.ids) for encoding in encodings)
    for encoding in encodings:
        encoding.pad(longest, pad_id=1 if "<pad>" in tokenizer.get_vocab() else 0)
    values = [torch.cat(column) for column in zip(*(columns(encoding, network.inputs) for encoding in encodings))]
    found = both(network, session, values)
    expected = np.array([row["logits"] for row in rows])
    assert np.abs(found - expected).max() < 2e-5, (found, expected)


def cross_reference(tokenizer, network, session, max_tokens) -> list[dict]:
    rows, encodings = [], []
    for question, answer in PAIRS:
        encoding = encoded_pair(tokenizer, max_tokens, question, answer)
        assert len(encoding.ids) <= max_tokens
        logits = both(network, session, columns(encoding, network.inputs))[0]
        row = {"question": question, "answer": answer, "ids": encoding.ids, "type_ids": encoding.type_ids}
        rows.append({**row, "logits": [round(float(logit), 7) for logit in logits]})
        encodings.append(encoding)
    check_padding(tokenizer, network, session, encodings, rows)
    spread = np.std([row["logits"] for row in rows], axis=0)
    assert (spread > 0.05).all(), f"the pairs' logits hardly differ: {spread}"
    return rows


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return round(float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b))), 7)


def bi_reference(tokenizer, network, session, max_tokens) -> list[dict]:
    def vectors(text: str):
        encoding = tokenizer.encode(text, add_special_tokens=False)
        encoding.truncate(max_tokens - tokenizer.num_special_tokens_to_add(False))
        encoding = tokenizer.post_process(encoding, None, True)
        last = both(network, session, columns(encoding, network.inputs))[0]
        return encoding.ids, last.mean(axis=0), last[0]

    rows = []
    for question, answer in PAIRS:
        (q_ids, q_mean, q_cls), (a_ids, a_mean, a_cls) = vectors(question), vectors(answer)
        ids = {"question_ids": q_ids, "answer_ids": a_ids}
        cosines = {"cosine_mean": cosine(q_mean, a_mean), "cosine_cls": cosine(q_cls, a_cls)}
        rows.append({"question": question, "answer": answer, **ids, **cosines})
    return rows


# ---------------------------------------------------------------- the shapes

TYPED, UNTYPED = ["input_ids", "attention_mask", "token_type_ids"], ["input_ids", "attention_mask"]


def shape(name: str, max_tokens: int, tokenizer, network, inputs=TYPED, bi: bool = False):
    return name, (max_tokens, tokenizer, network, inputs, bi)


SHAPES = dict(
    [
        shape("bert", 64, lambda: word_piece(400, False), lambda t, n: bert(t, n, 1)),
        shape("roberta", 48, lambda: byte_level_bpe(420), roberta, UNTYPED),
        shape("deberta-v3", 96, lambda: unigram(330), deberta, UNTYPED),
        shape("bert-two-classes", 32, lambda: word_piece(300, True), lambda t, n: bert(t, n, 2)),
        shape(
            "minilm-like-bi",
            40,
            lambda: word_piece(400, False),
            lambda t, n: BertModel(BertConfig(**sizes(t, max_position_embeddings=n)), add_pooling_layer=False),
            bi=True,
        ),
    ]
)


def write(name: str) -> None:
    max_tokens, make_tokenizer, make_network, inputs, bi = SHAPES[name]
    folder = TARGET / name
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer_file = folder / "tokenizer.json"
    if not tokenizer_file.exists():
        make_tokenizer().save(str(tokenizer_file), pretty=False)
    tokenizer = Tokenizer.from_file(str(tokenizer_file))

    torch.manual_seed(SEED)
    network = Bare(make_network(tokenizer, max_tokens), inputs, "last_hidden_state" if bi else "logits").eval()
    export(network, folder / "model.onnx")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    rows = (bi_reference if bi else cross_reference)(tokenizer, network, session, max_tokens)
    lines = ",\n".join("  " + json.dumps(row) for row in rows)
    reference = f'{{\n "max_tokens": {max_tokens},\n "pairs": [\n{lines}\n ]\n}}\n'
    (folder / "reference.json").write_text(reference)

    names = ("model.onnx", "tokenizer.json")
    manifest = {
        "format": 1,
        "kind": "bi_encoder" if bi else "cross_encoder",
        "model": "model.onnx",
        "files": {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in names},
        "max_tokens": max_tokens,
        "pooling": "mean",
        "calibration": {"a": 1.0, "b": 0.0},
    }
    (folder / "poq.json").write_text(json.dumps(manifest, indent=2) + "\n")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name:18} {size / 1024:6.0f} KiB, {len(rows)} pairs")


def main() -> None:
    torch.set_num_threads(1)
    for name in sys.argv[1:] or SHAPES:
        if name not in SHAPES:
            sys.exit(f"shapes: there is no shape {name!r}; there are: {', '.join(SHAPES)}")
        write(name)


if __name__ == "__main__":
    main()
