"""Small data of our own in the form of judge_data.jsonl.gz, made of the suite: for tests, not for judges.

    python3 small.py FILE

Every question of the suite gets answers of made-up models: good ones and worse ones.
"""

import gzip
import json
import pathlib
import sys

import suite

OPEN = "open (Apache-2.0 or MIT)"
# Name, label, terms and split of the made-up models; those of worse answers are named by their kind.
GOOD = ("thorough", "brief")
TERMS = {
    "thorough": "own community licence (Qwen, DBRX, DeepSeek, Gemma)",
    "padded": "research or non-commercial weights",
    "flattering": "Llama family",
}
UNSEEN = ("repeated", "evasive")


def items() -> list[dict]:
    pairs = suite.read()
    questions = list(dict.fromkeys(pair["question"] for pair in pairs))
    found: list[dict] = []
    for place, question in enumerate(questions):
        own = [pair for pair in pairs if pair["question"] == question]
        good = sorted({pair["good"] for pair in own}, key=len, reverse=True)
        answers = [(name, answer, 0.9 - 0.2 * at, "model_rating") for at, (name, answer) in enumerate(zip(GOOD, good))]
        answers += [(pair["kind"], pair["worse"], 0.2 + 0.01 * suite.KINDS.index(pair["kind"]), "model_rating") for pair in own]
        answers += [("judged", good[0], 0.8, "gpt4_score"), ("judged too", own[0]["worse"], 0.3, "gpt4_score")]
        answers.append(("degraded: truncated", good[0][: len(good[0]) // 2], 0.4, "degraded"))
        for model, answer, label, kind in answers:
            unseen_prompt, unseen_model = place % 5 == 4, model in UNSEEN
            split = {(False, False): "train", (False, True): "test_model", (True, False): "test_prompt", (True, True): "test_both"}
            found.append({
                "id": len(found),
                "question": question,
                "answer": answer,
                "label": round(label, 3),
                "model": model,
                "kind": kind,
                "source": "small" + (" + ours" if kind == "degraded" else " graded" if kind == "gpt4_score" else ""),
                "licence": "public domain",
                "generator_terms": "degraded" if kind == "degraded" else TERMS.get(model, OPEN),
                "group": f"question {place}",
                "chars": len(answer),
                "split": split[unseen_prompt, unseen_model],
            })
    return found


def write(file: pathlib.Path) -> None:
    with gzip.open(file, "wt") as out:
        out.writelines(json.dumps(item, ensure_ascii=False) + "\n" for item in items())


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
