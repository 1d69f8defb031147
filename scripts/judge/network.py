"""The network: all-MiniLM-L6-v2 with one number as its output (a cross-encoder), in PyTorch."""

import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

HIDDEN, LAYERS, HEADS, FEED = 384, 6, 12, 1536
HEAD_SIZE = HIDDEN // HEADS
EPSILON = 1e-12
ABSENT = -1e4


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        # Queries, keys and values in one product: fewer and larger products are faster.
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.attended = nn.Linear(HIDDEN, HIDDEN)
        self.attended_norm = nn.LayerNorm(HIDDEN, EPSILON)
        self.inner = nn.Linear(HIDDEN, FEED)
        self.outer = nn.Linear(FEED, HIDDEN)
        self.outer_norm = nn.LayerNorm(HIDDEN, EPSILON)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None, drop) -> torch.Tensor:
        rows, tokens, _ = x.shape
        qkv = self.qkv(x).view(rows, tokens, 3, HEADS, HEAD_SIZE).permute(2, 0, 3, 1, 4).reshape(3, -1, tokens, HEAD_SIZE)
        # Not `scaled_dot_product_attention`: its backward pass took half of a whole step on a CPU.
        weights = torch.bmm(qkv[0] * HEAD_SIZE**-0.5, qkv[1].transpose(1, 2))
        if mask is not None:
            weights = (weights.view(rows, HEADS, tokens, tokens) + mask).view(-1, tokens, tokens)
        context = torch.bmm(torch.softmax(weights, -1, dtype=weights.dtype), qkv[2])
        context = context.view(rows, HEADS, tokens, HEAD_SIZE).transpose(1, 2).reshape(rows, tokens, HIDDEN)
        x = self.attended_norm(x + drop(self.attended(context)))
        return self.outer_norm(x + drop(self.outer(F.gelu(self.inner(x)))))


class Judge(nn.Module):
    """Logits of (question, answer) rows. The tables of word, position and type embeddings are not trained."""

    def __init__(self, words: int, positions: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.words = nn.Embedding(words, HIDDEN)
        self.positions = nn.Embedding(positions, HIDDEN)
        self.types = nn.Embedding(2, HIDDEN)
        self.norm = nn.LayerNorm(HIDDEN, EPSILON)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.pooler = nn.Linear(HIDDEN, HIDDEN)
        self.head = nn.Linear(HIDDEN, 1)
        self.dropout = dropout
        for table in (self.words, self.positions, self.types):
            table.weight.requires_grad_(False)

    @classmethod
    def of_base(cls, folder: pathlib.Path, dropout: float) -> "Judge":
        """all-MiniLM-L6-v2 as it came, with a new head."""
        base = load_file(folder / "model.safetensors")
        model = cls(*(base[f"embeddings.{name}_embeddings.weight"].shape[0] for name in ("word", "position")), dropout)
        nn.init.normal_(model.head.weight, std=0.02)
        nn.init.zeros_(model.head.bias)
        head = {f"head.{name}": values for name, values in model.head.state_dict().items()}
        model.load_state_dict({ours: base[theirs] for ours, theirs in base_names().items()} | joined(base) | head)
        return model

    def drop(self, x: torch.Tensor) -> torch.Tensor:
        """Dropout with one mask for all tokens of a row: random numbers for every token would cost a tenth of a step."""
        if not self.training or self.dropout == 0.0:
            return x
        kept = torch.rand(x.shape[0], 1, x.shape[2], device=x.device) >= self.dropout
        return x * (kept.to(x.dtype) / (1.0 - self.dropout))

    def forward(self, ids: torch.Tensor, types: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """`ids` and `types`: [rows, tokens], padded on the right; `lengths`: tokens of each row."""
        tokens = ids.shape[1]
        x = self.words(ids) + self.positions.weight[:tokens] + self.types(types)
        x = self.drop(self.norm(x))
        mask = None
        if int(lengths.min()) < tokens:
            padding = torch.arange(tokens, device=ids.device) >= lengths[:, None]
            mask = (padding * ABSENT)[:, None, None, :].to(torch.bfloat16 if torch.is_autocast_enabled(ids.device.type) else x.dtype)
        for layer in self.layers:
            x = layer(x, mask, self.drop)
        pooled = torch.tanh(self.pooler(x[:, 0])).float()
        # In 32 bits: 16 would round logits to steps of a hundredth, and pairs to ties.
        with torch.autocast(ids.device.type, enabled=False):
            return self.head(pooled).squeeze(-1)


def base_names() -> dict[str, str]:
    """Names of our weights, and those of the same weights in BERT's files; `joined` has the rest."""
    names = {
        "words.weight": "embeddings.word_embeddings.weight",
        "positions.weight": "embeddings.position_embeddings.weight",
        "types.weight": "embeddings.token_type_embeddings.weight",
    }
    modules = {"norm": "embeddings.LayerNorm", "pooler": "pooler.dense"}
    parts = {"attended": "attention.output.dense", "attended_norm": "attention.output.LayerNorm"}
    parts |= {"inner": "intermediate.dense", "outer": "output.dense", "outer_norm": "output.LayerNorm"}
    for number in range(LAYERS):
        modules |= {f"layers.{number}.{ours}": f"encoder.layer.{number}.{theirs}" for ours, theirs in parts.items()}
    for ours, theirs in modules.items():
        names |= {f"{ours}.{kind}": f"{theirs}.{kind}" for kind in ("weight", "bias")}
    return names


def joined(base: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Queries, keys and values of each layer as one matrix."""
    found = {}
    for number in range(LAYERS):
        own = f"encoder.layer.{number}.attention.self."
        for kind in ("weight", "bias"):
            parts = [base[f"{own}{part}.{kind}"] for part in ("query", "key", "value")]
            found[f"layers.{number}.qkv.{kind}"] = torch.cat(parts)
    return found


def in_base_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Our weights under BERT's names, as scripts/minilm/export.py wants them; the head keeps its own."""
    found = {theirs: weights[ours] for ours, theirs in base_names().items()}
    for number in range(LAYERS):
        for kind in ("weight", "bias"):
            for part, values in zip(("query", "key", "value"), weights[f"layers.{number}.qkv.{kind}"].chunk(3)):
                found[f"encoder.layer.{number}.attention.self.{part}.{kind}"] = values
    return found | {name: weights[name] for name in ("head.weight", "head.bias")}
