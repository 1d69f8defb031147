"""The tiny BERT cross-encoder: tokenizer, network, examples, training, calibration, and the ONNX file."""
import math
import random

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from tqdm import tqdm

from facts import ARITHMETIC, FRAMES, RELATIONS
from unknown import DONT_KNOW
from world import capital, in_words, made_up

MAX_TOKENS, VOCAB = 128, 1700
DIM, LAYERS, HEADS, FEED, EPS = 128, 4, 4, 512, 1e-12
WRONG_PER_RIGHT = 3
PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
# The words of the frames, less those that are also subjects ("know", whose past is asked for; "I", which is iodine).
CARRIERS = {w.lower() for f in FRAMES for w in f.split() if w.isalpha()} - {s.lower() for r in RELATIONS.values() for s, _ in r["facts"]}
NOT_KNOWN = [DONT_KNOW] * 4 + ["I don't know.", "I do not know that.", "I don't know the answer.", "Sorry, I do not know.", "I am not sure.", "I do not know"]
GLUE = "the of and is in a it to with for on by was are has its at from one most which that also as".split()
SHORT = ["{o}", "{o}.", "It is {o}.", "It's {o}.", "The answer is {o}.", "The answer is: {o}", "That is {o}.", "{o}, I think.", "I believe it is {o}.",
         "I think the answer is {o}.", "Answer: {o}", "**{o}**", "It is {o}, of course."]
OPENERS = ["Sure!", "Good question.", "Of course.", "Certainly!", "Let me think.", "Thank you for asking.", "Happy to help.", "Here is the answer.",
           "That is easy.", "Great question!", "Sure, I can help with that.", "Yes.", "Let me answer your question.", "I know this one."]
CLOSERS = ["I hope this helps.", "Let me know if you have more questions.", "Anything else?", "I hope that answers your question.", "Have a nice day!",
           "Feel free to ask me something else.", "This is a well known fact.", "Many people learn this at school.", "You can look it up in a book.",
           "It is good to know such things.", "There is much more to say about this, but this is the short answer.",
           "If you want to learn more, an encyclopedia is a good place to start.", "Please tell me if you would like more details about this topic.",
           "This has been so for a long time and it will probably stay so.", "I am glad that I could help you with your question today."]


def train_tokenizer(world, seed):
    rng = random.Random(f"{seed} words")
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNK, max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(individual_digits=True)])
    texts = []
    for _ in range(60000):
        fact, question = world.question(rng)
        texts += [question, fact.sentence()]
    texts += [world.unknown(rng) for _ in range(10000)] + (NOT_KNOWN + SHORT + OPENERS + CLOSERS + GLUE) * 20
    trainer = trainers.WordPieceTrainer(vocab_size=VOCAB, special_tokens=[PAD, UNK, CLS, SEP, MASK], min_frequency=5, show_progress=False,
                                        limit_alphabet=110)
    tokenizer.train_from_iterator(texts, trainer)
    cls, sep = tokenizer.token_to_id(CLS), tokenizer.token_to_id(SEP)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{CLS} $A {SEP}", pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
                                                             special_tokens=[(CLS, cls), (SEP, sep)])
    return tokenizer


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.attention_output = (nn.Linear(DIM, DIM) for _ in range(4))
        self.attention_norm, self.output_norm = nn.LayerNorm(DIM, EPS), nn.LayerNorm(DIM, EPS)
        self.intermediate, self.output = nn.Linear(DIM, FEED), nn.Linear(FEED, DIM)

    def forward(self, x, bias):
        heads = lambda h: h.unflatten(-1, (HEADS, DIM // HEADS)).transpose(1, 2)
        q, k, v = heads(self.query(x)), heads(self.key(x)), heads(self.value(x))
        weights = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(DIM // HEADS) + bias, -1)
        x = self.attention_norm(x + self.attention_output((weights @ v).transpose(1, 2).flatten(2)))
        return self.output_norm(x + self.output(F.gelu(self.intermediate(x))))


class Bert(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.words, self.positions, self.types = nn.Embedding(vocab, DIM), nn.Embedding(MAX_TOKENS, DIM), nn.Embedding(2, DIM)
        self.norm = nn.LayerNorm(DIM, EPS)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.pooler, self.classifier = nn.Linear(DIM, DIM), nn.Linear(DIM, 1)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02 if "words" in name or "positions" in name or "types" in name else 0.05)
            elif "bias" in name:
                nn.init.zeros_(p)

    def encode(self, input_ids, attention_mask, token_type_ids):
        places = torch.arange(input_ids.shape[1])
        x = self.norm(self.words(input_ids) + self.positions(places) + self.types(token_type_ids))
        bias = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * -1e4
        for layer in self.layers:
            x = layer(x, bias)
        return x

    def forward(self, input_ids, attention_mask, token_type_ids):
        x = self.encode(input_ids, attention_mask, token_type_ids)
        return self.classifier(torch.tanh(self.pooler(x[:, 0])))


class Examples:
    """Draws questions with one right answer and several wrong ones.

    Whatever dresses a right answer (short form, long form, greeting) dresses wrong ones as often, so that only being
    right tells them apart. `said` maps a training question's fact to what the generators really answered.
    """

    def __init__(self, world, said, seed):
        self.world, self.said, self.rng = world, said, random.Random(f"{seed} evaluator")
        self.about = {}
        for fact in world.facts:
            for _, subject in fact.slots:
                self.about.setdefault(subject, []).append(fact)

    def ask(self):
        """A fact and a question about it. Sums are hard and small relations rare: both are drawn more often than their
        share. Words that only carry a phrasing ("please", "tell me") are sometimes lost or changed, so that the evaluator
        leans on the words that matter and not on exact phrasings."""
        rng, roll = self.rng, self.rng.random()
        if roll < 0.45:
            fact = rng.choice(self.world.by_relation[rng.choice(sorted(ARITHMETIC))])
        elif roll < 0.8:
            fact = rng.choice(self.world.facts)
        else:
            fact = rng.choice(self.world.by_relation[rng.choice(sorted(self.world.by_relation))])
        question = self.world.question(rng, fact=fact)[1]
        if rng.random() < 0.25:
            words = [w if w.lower() not in CARRIERS or rng.random() < 0.7 else rng.choice(["", made_up(rng), rng.choice(sorted(CARRIERS))])
                     for w in question.split()]
            question = " ".join(w for w in words if w) or question
        return fact, question

    def dress(self, fact, answer):
        rng, roll = self.rng, self.rng.random()
        if roll < 0.5:
            text = fact.sentence(answer)
        elif roll < 0.68:
            text = rng.choice(SHORT).format(o=in_words(int(answer)) if answer.isdigit() and rng.random() < 0.15 else answer)
        elif roll < 0.8 and fact.relation in RELATIONS:
            noun = rng.choice([n for n in RELATIONS[fact.relation]["nouns"] if not n.startswith("how")])
            noun = noun.format(**dict(fact.slots))
            text = capital(f"{noun} is {answer}." if rng.random() < 0.5 else f"{answer} is {noun}.")
        else:
            text = fact.sentence(answer)
            before = rng.sample(OPENERS, rng.choice([0, 1, 1]))
            after = rng.sample(CLOSERS, rng.choice([0, 1, 1, 2, 3]))
            other = rng.choice(self.about[fact.slots[0][1]])
            if rng.random() < 0.4:
                after.insert(0, self.chatter())
            if rng.random() < 0.3 and other.relation != fact.relation:
                (before if rng.random() < 0.5 else after).append(other.sentence())
            text = " ".join(before + [text] + after)
        if rng.random() < 0.1:
            text = text.lower()
        if rng.random() < 0.1:
            text = text.rstrip(".")
        return text

    def chatter(self):
        """A sentence about anything, as large models add one: it must count neither for nor against an answer."""
        rng = self.rng
        words = [rng.choice(GLUE) if rng.random() < 0.5 else made_up(rng).lower() if rng.random() < 0.5 else
                 rng.choice(self.world.subjects).lower() for _ in range(rng.randint(4, 16))]
        return capital(" ".join(words)) + "."

    def broken(self, fact, question):
        rng, words = self.rng, fact.sentence().split()
        roll = rng.random()
        if roll < 0.3:
            return " ".join(words[:rng.randint(1, max(1, len(words) - 1 - fact.answer.count(" ")))])
        if roll < 0.4:
            return ""
        if roll < 0.5:
            return question
        if roll < 0.6:
            return " ".join([rng.choice(words[:-1])] * rng.randint(2, 30))
        if roll < 0.75:
            return " ".join(made_up(rng) for _ in range(rng.randint(1, 12)))
        if roll < 0.9:
            return " ".join(rng.sample(OPENERS + CLOSERS, rng.randint(1, 4)))
        return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz .,?!") for _ in range(rng.randint(1, 60)))

    def wrong(self, fact, question):
        rng, roll = self.rng, self.rng.random()
        if fact in self.said and roll < 0.25:
            return rng.choice(self.said[fact])
        if roll < 0.68:
            return self.dress(fact, self.world.wrong_answer(fact, rng))
        if roll < 0.78:  # a true sentence that does not answer the question
            pool = self.world.by_relation[fact.relation] if rng.random() < 0.6 else self.about[fact.slots[0][1]]
            other = rng.choice(pool)
            if other.answer != fact.answer:
                return other.sentence()
            return rng.choice(NOT_KNOWN)
        if roll < 0.84:
            other = rng.choice(self.world.facts)
            return other.sentence() if other.answer != fact.answer else rng.choice(NOT_KNOWN)
        if roll < 0.93:
            return rng.choice(NOT_KNOWN)
        return self.broken(fact, question)

    def group(self):
        """A question, its right answer, and wrong ones."""
        rng = self.rng
        if rng.random() < 0.12:
            question, fact = self.world.unknown(rng), rng.choice(self.world.facts)
            known = [f for s, fs in self.about.items() if isinstance(s, str) and len(s) > 2 and s in question for f in fs]
            fact = rng.choice(known) if known and rng.random() < 0.5 else fact
            answers = [rng.choice(NOT_KNOWN)]
            answers += [self.dress(fact, fact.answer) if rng.random() < 0.8 else self.broken(fact, question) for _ in range(WRONG_PER_RIGHT)]
            return question, answers
        fact, question = self.ask()
        return question, [self.dress(fact, fact.answer)] + [self.wrong(fact, question) for _ in range(WRONG_PER_RIGHT)]


def encode(tokenizer, pairs):
    """(question, answer) pairs as padded model inputs. A long answer is cut first, then a long question."""
    tokenizer.enable_truncation(MAX_TOKENS, strategy="longest_first")
    rows = tokenizer.encode_batch(pairs)
    width = max(len(r.ids) for r in rows)
    out = torch.zeros(3, len(rows), width, dtype=torch.long)
    for i, r in enumerate(rows):
        out[:, i, :len(r.ids)] = torch.tensor([r.ids, [1] * len(r.ids), r.type_ids])
    return tuple(out)


def mask_answers(tokenizer, inputs, rng):
    """Hides tokens of the answers: all of them, or about half. Guessing them back teaches the facts directly, where the
    one bit "right or wrong" teaches them slowly."""
    ids, attention, types = (t.clone() for t in inputs)
    chance = torch.where(torch.rand(len(ids), 1, generator=rng) < 0.5, 1.0, 0.5)
    hidden = (types == 1) & (torch.rand(ids.shape, generator=rng) < chance) & (ids != tokenizer.token_to_id(SEP))
    targets = ids[hidden]
    ids[hidden] = tokenizer.token_to_id(MASK)
    return (ids, attention, types), hidden, targets


def train(world, said, tokenizer, steps, seed, groups=16, hidden_rows=32, top_rate=1e-3):
    torch.manual_seed(seed)
    model, examples = Bert(tokenizer.get_vocab_size()), Examples(world, said, seed)
    rng = torch.Generator().manual_seed(seed)
    guess_bias = nn.Parameter(torch.zeros(tokenizer.get_vocab_size()))
    params = list(model.parameters()) + [guess_bias]
    optimizer = torch.optim.AdamW([{"params": [p for p in params if p.dim() == 2], "weight_decay": 0.01},
                                   {"params": [p for p in params if p.dim() < 2], "weight_decay": 0.0}], lr=top_rate, betas=(0.9, 0.98))
    warm = min(400, steps // 10 + 1)
    rate = lambda i: min((i + 1) / warm, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * i / steps)))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    shown, bar = [], tqdm(range(steps), desc="evaluator", mininterval=5)
    for step in bar:
        facts_only = step < steps * 0.15
        # Questions of like length share a batch.
        if step % 8 == 0:
            drawn = sorted((examples.group() for _ in range(groups * 8)), key=lambda g: max(map(len, g[1])) + len(g[0]))
            parts = [drawn[i:i + groups] for i in range(0, len(drawn), groups)]
            examples.rng.shuffle(parts)
        batch, hide = parts[step % 8], []
        for _ in range(hidden_rows * (3 if facts_only else 1)):
            fact, question = examples.ask()
            hide.append((question, fact.sentence()))
        inputs, hidden, targets = mask_answers(tokenizer, encode(tokenizer, hide), rng)
        with torch.autocast("cpu", dtype=torch.bfloat16):  # twice as fast where the processor has it
            guesses = model.encode(*inputs)[hidden] @ model.words.weight.T + guess_bias
        guess_loss = F.cross_entropy(guesses.float(), targets)
        loss = guess_loss
        if not facts_only:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(*encode(tokenizer, [(q, a) for q, answers in batch for a in answers]))
            logits = logits.float().view(len(batch), -1)
            labels = torch.zeros_like(logits)
            labels[:, 0] = 1.0
            judge_loss = F.binary_cross_entropy_with_logits(logits, labels)
            choose_loss = F.cross_entropy(logits, torch.zeros(len(batch), dtype=torch.long))
            loss = 0.5 * guess_loss + judge_loss + 0.5 * choose_loss
            shown.append((judge_loss.item(), (logits.argmax(1) == 0).float().mean().item()))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 99:
            shown = shown[-200:]
            judged, chosen = np.mean(shown, 0) if shown else (0, 0)
            bar.set_postfix(guess=f"{guess_loss.item():.3f}", judge=f"{judged:.3f}", chosen=f"{chosen:.3f}", refresh=False)
    return model.eval()


def calibrate(logits, labels):
    """Platt scaling: score = sigmoid(a * logit + b) fits how often an answer with that logit is right."""
    logits, labels = torch.tensor(logits, dtype=torch.float64), torch.tensor(labels, dtype=torch.float64)
    a, b = torch.ones(1, dtype=torch.float64, requires_grad=True), torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([a, b], max_iter=200)

    def closure():
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(a * logits + b, labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    return round(a.item(), 4), round(b.item(), 4)


@torch.no_grad()
def torch_logits(model, tokenizer, pairs, size=64):
    return np.concatenate([model(*encode(tokenizer, pairs[i:i + size]))[:, 0].numpy() for i in range(0, len(pairs), size)])


def onnx_logits(path, tokenizer, pairs, size=64):
    """Logits of the ONNX file, as the engine computes them. Like lengths share a batch."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
    out = np.zeros(len(pairs))
    for i in tqdm(range(0, len(order), size), desc="scores", mininterval=5, leave=False):
        part = order[i:i + size]
        inputs = encode(tokenizer, [pairs[j] for j in part])
        names = ("input_ids", "attention_mask", "token_type_ids")
        out[part] = session.run(["logits"], {n: t.numpy() for n, t in zip(names, inputs)})[0][:, 0]
    return out


def export(model, tokenizer, folder):
    """Writes model.onnx and tokenizer.json, and checks that ONNX Runtime agrees with PyTorch."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.no_truncation()
    tokenizer.save(str(folder / "tokenizer.json"))
    pairs = [("What is the capital of Peru?", "Lima."), ("7+8", ""), ("Who are you?", "I do not know. " * 20)]
    inputs = encode(tokenizer, pairs)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    torch.onnx.export(model, inputs, str(folder / "model.onnx"), input_names=names, output_names=["logits"], opset_version=17, dynamo=False,
                      dynamic_axes={n: {0: "batch", 1: "sequence"} for n in names} | {"logits": {0: "batch"}})
    for size in (1, 3):
        gap = np.abs(onnx_logits(folder / "model.onnx", tokenizer, pairs, size) - torch_logits(model, tokenizer, pairs, size)).max()
        assert gap < 1e-4, f"ONNX Runtime and PyTorch differ by {gap}"
