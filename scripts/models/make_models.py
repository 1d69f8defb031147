"""Makes the demo models: the world, both generators, the evaluator, their files, and the figures. See README.md."""
import argparse
import hashlib
import json
import os
import random
import time
from pathlib import Path

# Two busy-waiting OpenMP threads collapse beside other work; one thread also repeats bit for bit.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from tokenizers import Tokenizer

import evaluate
import evaluator
import generator
from world import SEED, World, is_right

STRONG_STEPS, WEAK_STEPS, EVALUATOR_STEPS = 6000, 3000, 7000
WEAK_SHARE = 0.62  # of each relation's facts are taught wrong to the weak generator
BUNDLE = Path(__file__).resolve().parents[2] / "models"


def tokenizer_of(world, work):
    path = work / "generator-tokenizer.json"
    if not path.exists():
        generator.train_tokenizer(world, SEED).save(str(path))
    return Tokenizer.from_file(str(path))


def make_generator(world, work, name, facts, steps):
    tokenizer = tokenizer_of(world, work)
    model = generator.train(world, facts, tokenizer, steps, SEED, label=name)
    torch.save(model.state_dict(), work / f"{name}.pt")
    generator.export(model, tokenizer, BUNDLE / f"poq-demo-{name}.gguf", f"poq-demo-{name}")


def load_generator(world, work, name):
    tokenizer = tokenizer_of(world, work)
    model = generator.Llama(tokenizer.get_vocab_size())
    model.load_state_dict(torch.load(work / f"{name}.pt"))
    return generator.as_exported(model.eval()), tokenizer


def strong(world, work):
    make_generator(world, work, "strong", world.facts, STRONG_STEPS)


def weak(world, work):
    make_generator(world, work, "weak", world.swapped(WEAK_SHARE, SEED), WEAK_STEPS)


def said(world, work):
    """What both generators answer to training phrasings: wrong answers as the evaluator will meet them."""
    rng = random.Random(f"{SEED} said")
    asked = [(fact, world.ask(fact, phrasing, rng)) for fact in world.facts for phrasing in rng.sample(world.phrasings_of(fact.relation), 3)]
    out = []
    for name in ("weak", "strong"):
        model, tokenizer = load_generator(world, work, name)
        answers = generator.answer(model, tokenizer, [q for _, q in asked])
        out += [[world.facts.index(fact), text] for (fact, _), text in zip(asked, answers) if not is_right(fact, text)]
    (work / "said.json").write_text(json.dumps(out))


def judge(world, work):
    """Trains, exports and calibrates the evaluator."""
    # The WordPiece trainer numbers its tokens in no fixed order. A run repeats because it reuses the bundled tokenizer;
    # delete that file after changing the world.
    kept, wrong = BUNDLE / "poq-demo-evaluator" / "tokenizer.json", {}
    tokenizer = Tokenizer.from_file(str(kept)) if kept.exists() else evaluator.train_tokenizer(world, SEED)
    for fact, text in json.loads((work / "said.json").read_text()):
        wrong.setdefault(world.facts[fact], []).append(text)
    model = evaluator.train(world, wrong, tokenizer, EVALUATOR_STEPS, SEED)
    evaluator.export(model, tokenizer, BUNDLE / "poq-demo-evaluator")
    # Calibrated on fresh draws of the training side, right and wrong equally often.
    examples, pairs, labels = evaluator.Examples(world, wrong, f"{SEED} calibration"), [], []
    for _ in range(4000):
        question, answers = examples.group()
        pairs += [(question, a) for a in answers[:2]]
        labels += [1, 0]
    a, b = evaluator.calibrate(evaluator.onnx_logits(BUNDLE / "poq-demo-evaluator" / "model.onnx", tokenizer, pairs), labels)
    write_manifest(BUNDLE / "poq-demo-evaluator", {"a": a, "b": b})


def write_manifest(folder, calibration):
    """The evaluator's poq.json. It names the files on which a score depends; its own SHA-256 is the evaluator's id."""
    files = {name: sha256_of(folder / name) for name in ("model.onnx", "tokenizer.json")}
    manifest = {"format": 1, "kind": "cross_encoder", "model": "model.onnx", "files": files,
                "max_tokens": evaluator.MAX_TOKENS, "pooling": "mean", "calibration": calibration}
    (folder / "poq.json").write_text(json.dumps(manifest, indent=2) + "\n")


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def bundle(world, work):
    """The manifest, and held-out questions for tests of the whole system: drawn by the seed, not by how they are answered."""
    models = []
    for name, kind, file in (("poq-demo-strong", "generator", "poq-demo-strong.gguf"), ("poq-demo-weak", "generator", "poq-demo-weak.gguf"),
                             ("poq-demo-evaluator", "evaluator", "poq-demo-evaluator/poq.json")):
        models.append({"name": name, "kind": kind, "file": file, "sha256": sha256_of(BUNDLE / file)})
    # scripts/judge makes the others.
    made = {model["name"] for model in models}
    others = [model for model in json.loads((BUNDLE / "manifest.json").read_text())["models"] if model["name"] not in made]
    (BUNDLE / "manifest.json").write_text(json.dumps({"models": models + others}, indent=2) + "\n")
    rng, questions = random.Random(f"{SEED} questions"), []
    relations = sorted(world.by_relation)
    for i in range(60):  # every relation twice, then six more
        fact = rng.choice(world.by_relation[relations[i % len(relations)]])
        phrasing = rng.choice(world.phrasings_of(fact.relation, held_out=True))
        questions.append({"question": world.ask(fact, phrasing, rng, plain=True), "answer": fact.sentence()})
    (BUNDLE / "questions.json").write_text(json.dumps(questions, indent=2) + "\n")


def figures(world, work):
    """Prints the figures of the bundled files."""
    evaluate.report(world, load_generator(world, work, "strong"), load_generator(world, work, "weak"), BUNDLE, SEED)


STAGES = {s.__name__: s for s in (strong, weak, said, judge, bundle, figures)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="*", default=list(STAGES), help=f"stages to run, in this order; all by default: {', '.join(STAGES)}")
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / "build", help="where checkpoints go between stages")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    for stage in args.stages:
        started = time.time()
        STAGES[stage](World(), args.work)
        print(f"{stage}: {time.time() - started:.0f} s", flush=True)
