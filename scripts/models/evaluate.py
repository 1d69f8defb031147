"""The figures of the finished files, on phrasings that were held out from training."""
import json
import random

import numpy as np
from tokenizers import Tokenizer

import generator
from evaluator import onnx_logits
from unknown import DONT_KNOW
from world import held_out_set, is_right


def auc(right, wrong):
    """How often a right answer scores above a wrong one; ties count half."""
    scores = np.concatenate([right, wrong])
    values, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    return (ranks[:len(right)].sum() - len(right) * (len(right) + 1) / 2) / (len(right) * len(wrong))


def share(flags):
    flags = list(flags)
    return f"{100 * np.mean(flags):5.1f}% of {len(flags)}"


def report(world, strong, weak, bundle, seed):
    asked = held_out_set(world, seed, per_fact=2)
    questions = [q for _, _, q in asked]
    answers = {}
    for name, (model, tokenizer) in (("strong", strong), ("weak", weak)):
        answers[name] = generator.answer(model, tokenizer, questions)
        right = [is_right(f, a) for (f, _, _), a in zip(asked, answers[name])]
        print(f"{name} generator right on held-out phrasings: {share(right)}")
        for kind in ("ask", "frame", "combo"):
            print(f"  held-out {kind + ':':7}{share(r for r, (_, p, _) in zip(right, asked) if p.split == kind)}")
        if name == "strong":
            for relation in world.by_relation:
                print(f"  {relation + ':':16}{share(r for r, (f, _, _) in zip(right, asked) if f.relation == relation)}")
    rng = random.Random(f"{seed} outside")
    outside = [world.unknown(rng, held_out=True) for _ in range(1000)]
    for name, (model, tokenizer) in (("strong", strong), ("weak", weak)):
        print(f"{name} generator says that it does not know, outside the world: "
              f"{share(a == DONT_KNOW for a in generator.answer(model, tokenizer, outside))}")

    folder = bundle / "poq-demo-evaluator"
    settings = json.loads((folder / "poq.json").read_text())["calibration"]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def scores(pairs):
        return 1 / (1 + np.exp(-(settings["a"] * onnx_logits(folder / "model.onnx", tokenizer, pairs) + settings["b"])))

    rng = random.Random(f"{seed} wrong")
    right = scores([(q, f.sentence()) for f, _, q in asked])
    wrong = scores([(q, f.sentence(world.wrong_answer(f, rng))) for f, _, q in asked])
    short = scores([(q, f.answer) for f, _, q in asked])
    short_wrong = scores([(q, world.wrong_answer(f, rng)) for f, _, q in asked])
    silent = scores([(q, DONT_KNOW) for q in questions])
    empty = scores([(q, "") for q in questions])
    print(f"evaluator AUC, right against wrong sentence: {auc(right, wrong):.4f}")
    for kind in ("ask", "frame", "combo"):
        chosen = np.array([p.split == kind for _, p, _ in asked])
        print(f"  held-out {kind + ':':7}{auc(right[chosen], wrong[chosen]):.4f}")
    for relation in world.by_relation:
        chosen = np.array([f.relation == relation for f, _, _ in asked])
        print(f"  {relation + ':':16}{auc(right[chosen], wrong[chosen]):.4f}")
    print(f"evaluator AUC, right against wrong bare object: {auc(short, short_wrong):.4f}")
    print(f"evaluator AUC, right sentence against \"{DONT_KNOW}\": {auc(right, silent):.4f}")
    print(f"evaluator AUC, right sentence against nothing: {auc(right, empty):.4f}")
    missed = [i for i, (f, _, _) in enumerate(asked) if not is_right(f, answers["weak"][i])]
    theirs = scores([(questions[i], answers["weak"][i]) for i in missed])
    print(f"right answer above the weak generator's wrong one: {share(right[missed] > theirs)}")
    print(f"  AUC of the same pairs: {auc(right[missed], theirs):.4f}")
    ours = scores(list(zip(questions, answers["strong"])))
    everyone = scores(list(zip(questions, answers["weak"])))
    print(f"mean score: right {right.mean():.3f}, wrong {wrong.mean():.3f}, strong {ours.mean():.3f}, weak {everyone.mean():.3f}")
    facts = [rng.choice(world.facts) for _ in outside]
    known, claimed = scores([(q, DONT_KNOW) for q in outside]), scores([(q, f.sentence()) for q, f in zip(outside, facts)])
    print(f"outside the world, mean score of \"{DONT_KNOW}\" {known.mean():.3f}, of some fact {claimed.mean():.3f}")
    files = [p for p in bundle.rglob("*") if p.is_file()]
    print("bundle:", ", ".join(f"{p.relative_to(bundle)} {p.stat().st_size:,}" for p in sorted(files)), f"together {sum(p.stat().st_size for p in files):,} bytes")
