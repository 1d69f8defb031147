"""The figures of an exported file: held-out splits, degraded answers, worse versions made here, and the suite."""

import json
import math

import data
import export
import measure
import settings

# Worse versions of held-out answers, of each kind.
MADE = 60


def figures(run) -> dict:
    calibration, session = run.get("calibration.json", "calibrate"), run.session()
    items = measured_items(run.items(), run.given.rows)
    scores = run.score([(item["question"], item["answer"]) for item in items], session, calibration, "evaluate")
    run.put("scores.json", {"file": run.given.file, "scores": {str(item["id"]): round(float(score), 6) for item, score in zip(items, scores)}})
    found = {"file": run.given.file, "cut": run.cut, "calibration": calibration}
    for split in data.TEST_SPLITS:
        places = [place for place, item in enumerate(items) if item["split"] == split]
        found[split] = of_split([items[place] for place in places], [float(scores[place]) for place in places], split)
    pairs = measure.made_pairs([item for item in items if item["split"] != "test_model"], MADE)
    found["made worse, prompts unseen"] = of_pairs(run, pairs, session, calibration)
    found["suite"] = suite(run, session, calibration)
    found["reliability"] = measure.reliability(items, scores)
    rows = [run.rows.pair(item["question"], item["answer"]) for item in items[:400]]
    found["files"] = export.compare(run.work, rows, calibration)
    return found


def measured_items(items: list[dict], most: int) -> list[dict]:
    """The test splits; with `most`, that many answers of each, in whole prompts."""
    found = []
    for split in data.TEST_SPLITS:
        some = sorted((item for item in items if item["split"] == split), key=lambda item: (data.part(item["group"]), item["id"]))
        found += some[:most] if most else some
    return found


def of_split(items: list[dict], scores: list[float], name: str) -> dict:
    pairs = measure.degraded_pairs(items)
    good, bad = [scores[place] for _, place, _ in pairs], [scores[place] for _, _, place in pairs]
    plain = [place for place, item in enumerate(items) if item["kind"] != "degraded"]
    lengths = [math.log(items[place]["chars"] + 1) for place in plain]
    ours, labels = [scores[place] for place in plain], [items[place]["label"] for place in plain]
    found = {
        "answers": len(plain),
        "pairs": measure.pair_accuracy(items, scores, name),
        "pairs of strong judge's grades": graded(items, scores, name),
        "models": measure.model_ranking(items, scores, name),
        "degraded": measure.shares([kind for kind, _, _ in pairs], measure.won(good, bad)),
    }
    if len(plain) > 5:
        found["answers, spearman"] = round(measure.spearman(ours, labels), 4)
        found["answers, given length"] = round(measure.partial(ours, labels, lengths), 4)
        found["answers, score with length"] = round(measure.spearman(ours, lengths), 4)
    return found


def graded(items: list[dict], scores: list[float], name: str) -> dict:
    places = [place for place, item in enumerate(items) if item["kind"] == "gpt4_score"]
    return measure.pair_accuracy([items[place] for place in places], [scores[place] for place in places], name + " graded")


def of_pairs(run, pairs: list[tuple[str, str, str, str]], session, calibration: dict) -> dict:
    good = run.score([(question, answer) for _, question, answer, _ in pairs], session, calibration, "good")
    bad = run.score([(question, answer) for _, question, _, answer in pairs], session, calibration, "worse")
    return measure.shares([kind for kind, *_ in pairs], measure.won(good, bad))


def suite(run, session, calibration: dict) -> dict:
    """Shares by kind, and by whether the good answer is the longer one."""
    if not settings.SUITE.is_file():
        raise data.Wrong(f"{settings.SUITE} is not there; the repository has it")
    lines = [json.loads(line) for line in settings.SUITE.read_text().splitlines()]
    score = lambda side: run.score([(line["question"], line[side]) for line in lines], session, calibration, "suite")
    good, bad = score("good"), score("worse")
    won = measure.won(good, bad)
    found = measure.shares([line["kind"] for line in lines], won)
    longer = ["good is longer" if len(line["good"]) > len(line["worse"]) else "good is shorter" for line in lines]
    found["all"] = measure.shares(["all"] * len(lines), won)["all"]
    found |= measure.shares(longer, won)
    found["lost"] = [line["id"] for line, value in zip(lines, won) if value < 1]
    return found
