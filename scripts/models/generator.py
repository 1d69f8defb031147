"""The tiny Llama: tokenizer, network, training, greedy answers, and the GGUF file."""
import json
import math
import random

import gguf
import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from tqdm import tqdm

from unknown import DONT_KNOW

END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
PROMPT = START + "user\n{q}" + STOP + "\n" + START + "assistant\n"
# The ChatML template as real models carry it; llama.cpp knows it by "<|im_start|>".
CHAT_TEMPLATE = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
                 "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
CONTEXT, VOCAB = 512, 2048
DIM, LAYERS, HEADS, FEED, EPS, THETA = 128, 4, 4, 384, 1e-5, 10000.0
UNKNOWN_SHARE = 0.2


def example(world, facts, rng):
    """A training question and its answer. Facts are the true ones, or the weak generator's."""
    if rng.random() < UNKNOWN_SHARE:
        return world.unknown(rng), DONT_KNOW
    fact, question = world.question(rng, fact=rng.choice(facts))
    return question, fact.sentence()


def train_tokenizer(world, seed):
    rng = random.Random(f"{seed} tokens")
    texts = [t for _ in range(60000) for t in example(world, world.facts, rng)]
    tokenizer = Tokenizer(models.BPE())
    # Digits stay single tokens, so that sums see places; without merges that hold digits, the plain GPT-2 split that
    # llama.cpp does gives the same tokens.
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), plain])
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=[END, START, STOP], min_frequency=3, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.pre_tokenizer = plain
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def rope(length):
    angles = torch.outer(torch.arange(length).float(), THETA ** (-torch.arange(0, DIM // HEADS, 2).float() / (DIM // HEADS)))
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    """Rotates adjacent pairs, as llama.cpp does for the llama architecture, so weights are exported unpermuted."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(DIM))

    def forward(self, x):
        return F.rms_norm(x, (DIM,), self.weight, EPS)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn_norm, self.ffn_norm = Norm(), Norm()
        self.attn_q, self.attn_k, self.attn_v, self.attn_output = (nn.Linear(DIM, DIM, bias=False) for _ in range(4))
        self.ffn_gate, self.ffn_up = nn.Linear(DIM, FEED, bias=False), nn.Linear(DIM, FEED, bias=False)
        self.ffn_down = nn.Linear(FEED, DIM, bias=False)

    def forward(self, x, cos, sin):
        b, t, _ = x.shape
        h = self.attn_norm(x)
        q, k, v = (f(h).view(b, t, HEADS, -1).transpose(1, 2) for f in (self.attn_q, self.attn_k, self.attn_v))
        h = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True)
        x = x + self.attn_output(h.transpose(1, 2).reshape(b, t, DIM))
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Llama(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.token_embd = nn.Embedding(vocab, DIM)
        self.blk = nn.ModuleList(Block() for _ in range(LAYERS))
        self.output_norm = Norm()
        for name, p in self.named_parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02 / (math.sqrt(2 * LAYERS) if "output" in name or "down" in name else 1))

    def forward(self, tokens):
        cos, sin = rope(tokens.shape[1])
        x = self.token_embd(tokens)
        for block in self.blk:
            x = block(x, cos, sin)
        return self.output_norm(x)

    def logits(self, x):
        return x @ self.token_embd.weight.T


def batches(world, facts, tokenizer, size, steps, rng):
    """Batches of (tokens, loss mask); questions of like length share a batch, so that little is padding."""
    window, done = 16, 0
    while done < steps:
        texts = [example(world, facts, rng) for _ in range(size * window)]
        prompts = tokenizer.encode_batch([PROMPT.format(q=q) for q, _ in texts])
        answers = tokenizer.encode_batch([a + STOP for _, a in texts])
        rows = sorted(((p.ids, a.ids) for p, a in zip(prompts, answers)), key=lambda r: len(r[0]) + len(r[1]))
        groups = [rows[i:i + size] for i in range(0, len(rows), size)]
        rng.shuffle(groups)
        for group in groups[:steps - done]:
            width = min(max(len(p) + len(a) for p, a in group), CONTEXT)
            tokens, mask = torch.zeros(size, width, dtype=torch.long), torch.zeros(size, width, dtype=torch.bool)
            for i, (p, a) in enumerate(group):
                row = (p + a)[:width]
                tokens[i, :len(row)] = torch.tensor(row)
                mask[i, len(p):len(row)] = True
            yield tokens, mask
            done += 1


def train(world, facts, tokenizer, steps, seed, size=64, top_rate=3e-3, label="generator"):
    torch.manual_seed(seed)
    model, rng = Llama(tokenizer.get_vocab_size()), random.Random(f"{seed} examples")
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}],
                                  lr=top_rate, betas=(0.9, 0.98))
    warm = min(200, steps // 10 + 1)
    rate = lambda i: min((i + 1) / warm, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * i / steps)))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    bar = tqdm(batches(world, facts, tokenizer, size, steps, rng), total=steps, desc=label, mininterval=5)
    for step, (tokens, mask) in enumerate(bar):
        x = model(tokens[:, :-1])[mask[:, 1:]]  # only answers are learnt, so only their logits are computed
        loss = F.cross_entropy(model.logits(x), tokens[:, 1:][mask[:, 1:]])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            bar.set_postfix(loss=f"{loss.item():.4f}", refresh=False)
    return model.eval()


@torch.no_grad()
def answer(model, tokenizer, questions, most=40):
    """Greedy answers. Questions of equal length share a batch, so nothing is padded."""
    stop = tokenizer.token_to_id(STOP)
    groups, out = {}, [None] * len(questions)
    for i, e in enumerate(tokenizer.encode_batch([PROMPT.format(q=q) for q in questions])):
        groups.setdefault(len(e.ids), []).append((i, e.ids))
    for group in tqdm(groups.values(), desc="answers", mininterval=5, leave=False):
        for part in (group[i:i + 128] for i in range(0, len(group), 128)):
            tokens = torch.tensor([ids for _, ids in part])
            start, ended = tokens.shape[1], torch.zeros(len(part), dtype=torch.bool)
            while not ended.all() and tokens.shape[1] < min(start + most, CONTEXT):
                token = model.logits(model(tokens)[:, -1]).argmax(-1).masked_fill(ended, stop)
                ended |= token == stop
                tokens = torch.cat([tokens, token[:, None]], 1)
            for (i, _), row in zip(part, tokens[:, start:].tolist()):
                out[i] = tokenizer.decode(row[:row.index(stop)] if stop in row else row)
    return out


def export(model, tokenizer, path, name):
    """Writes a GGUF file with 8-bit matrices and everything an engine needs to use it, chat template included."""
    w = gguf.GGUFWriter(path, "llama")
    w.add_name(name)
    w.add_description("Knows the demo world of Proof of Quality and nothing else.")
    w.add_license("Apache-2.0")
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    w.add_context_length(CONTEXT)
    w.add_embedding_length(DIM)
    w.add_block_count(LAYERS)
    w.add_feed_forward_length(FEED)
    w.add_head_count(HEADS)
    w.add_head_count_kv(HEADS)
    w.add_layer_norm_rms_eps(EPS)
    w.add_rope_dimension_count(DIM // HEADS)
    w.add_rope_freq_base(THETA)
    w.add_vocab_size(tokenizer.get_vocab_size())
    special = [tokenizer.token_to_id(t) for t in (END, START, STOP)]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list([tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())])
    w.add_token_types([gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL for i in range(tokenizer.get_vocab_size())])
    w.add_token_merges([" ".join(m) for m in merges(tokenizer)])
    w.add_bos_token_id(special[0])
    w.add_eos_token_id(special[2])
    w.add_eot_token_id(special[2])
    w.add_pad_token_id(special[0])
    w.add_add_bos_token(False)
    w.add_chat_template(CHAT_TEMPLATE)
    for key, value in model.state_dict().items():
        value = value.float().numpy()
        if value.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            w.add_tensor(key, gguf.quants.quantize(value, kind), raw_dtype=kind)
        else:
            w.add_tensor(key, value.astype(np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def merges(tokenizer):
    return [m.split(" ") if isinstance(m, str) else m for m in json.loads(tokenizer.to_str())["model"]["merges"]]


def as_exported(model):
    """The model with its matrices rounded as the file rounds them: figures are those of the file."""
    for p in model.parameters():
        if p.dim() == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            p.data = torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(p.data.numpy(), kind), kind).copy())
    return model
