"""Figures: how well scores rank answers and models. Lists and NumPy only; nothing here knows a network."""

import math

import numpy as np

import data
import settings
import worse
from settings import CLEAR

RESAMPLES = 1000
# Answers that a model needs to have a place in the ranking of models.
LEAST_ANSWERS = 15


def ranks(values) -> np.ndarray:
    """Ranks from 0; equal values share one."""
    values = np.asarray(values, float)
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count + 1) / 2)[place]


def correlation(a, b) -> float:
    a, b = (np.asarray(x, float) - np.mean(x) for x in (a, b))
    size = math.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else 0.0


def spearman(a, b) -> float:
    return correlation(ranks(a), ranks(b))


def partial(a, b, given) -> float:
    """Spearman correlation of a and b with that of `given` taken out."""
    ab, ag, bg = spearman(a, b), spearman(a, given), spearman(b, given)
    rest = math.sqrt(max(0.0, (1 - ag * ag) * (1 - bg * bg)))
    return (ab - ag * bg) / rest if rest > 0 else 0.0


def interval(estimate, units: list, name: str) -> list[float]:
    """95% interval of `estimate(units)` by drawing the units anew, with replacement."""
    rng = np.random.default_rng(data.draw(f"interval {name}").getrandbits(32))
    found = [estimate([units[i] for i in rng.integers(0, len(units), len(units))]) for _ in range(RESAMPLES)]
    return [round(float(x), 4) for x in np.quantile([x for x in found if not math.isnan(x)] or [math.nan], [0.025, 0.975])]


def share_interval(right: float, of: int) -> list[float]:
    """Wilson's 95% interval of a share."""
    if of == 0:
        return [0.0, 1.0]
    z, p = 1.96, right / of
    middle, half = p + z * z / (2 * of), z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return [round(max(0.0, middle - half) / (1 + z * z / of), 4), round((middle + half) / (1 + z * z / of), 4)]


def prompts(items: list[dict]) -> list[list[int]]:
    """The answers to each prompt that can be compared: of one source, not degraded."""
    found: dict[tuple[str, str], list[int]] = {}
    for place, item in enumerate(items):
        if item["kind"] != "degraded":
            found.setdefault((item["group"], item["source"]), []).append(place)
    return list(found.values())


def pair_table(items: list[dict], scores, clear: float = CLEAR) -> list[np.ndarray]:
    """Per prompt, one line for each pair with clearly different labels: won by score, won by length, better is longer."""
    tables = []
    for members in prompts(items):
        lines = []
        for place, a in enumerate(members):
            for b in members[place + 1 :]:
                better, other = (a, b) if items[a]["label"] > items[b]["label"] else (b, a)
                if items[better]["label"] - items[other]["label"] < clear:
                    continue
                won = np.sign(scores[better] - scores[other]) / 2 + 0.5
                longer = np.sign(items[better]["chars"] - items[other]["chars"]) / 2 + 0.5
                lines.append((won, longer, longer))
        if lines:
            tables.append(np.array(lines))
    return tables


def pair_accuracy(items: list[dict], scores, name: str) -> dict:
    tables = pair_table(items, scores)
    if not tables:
        return {"pairs": 0}

    def mean(column: int, longer: float | None = None):
        def estimate(some):
            lines = np.concatenate(some)
            if longer is not None:
                lines = lines[lines[:, 2] == longer]
            return float(lines[:, column].mean()) if len(lines) else math.nan

        return estimate

    found = {"pairs": int(sum(map(len, tables))), "prompts": len(tables)}
    for key, estimate in (
        ("right", mean(0)),
        ("right by length alone", mean(1)),
        ("right where the better one is longer", mean(0, 1.0)),
        ("right where the better one is shorter", mean(0, 0.0)),
    ):
        found[key] = round(estimate(tables), 4)
        found[key + ", interval"] = interval(estimate, tables, f"{name} {key}")
    found["right, interval over models"] = over_models(items, scores, name)
    return found


def over_models(items: list[dict], scores, name: str) -> list[float]:
    """95% interval of the pair accuracy with the models drawn anew instead of the prompts: labels are of whole models, so
    a handful of models decides it. A pair counts as often as both of its models are drawn."""
    names = {model: place for place, model in enumerate(sorted({item["model"] for item in items}))}
    right, of = np.zeros((len(names), len(names))), np.zeros((len(names), len(names)))
    for members in prompts(items):
        for place, a in enumerate(members):
            for b in members[place + 1 :]:
                difference = items[a]["label"] - items[b]["label"]
                if abs(difference) >= CLEAR:
                    spot = names[items[a]["model"]], names[items[b]["model"]]
                    of[spot] += 1
                    right[spot] += np.sign(difference) * np.sign(scores[a] - scores[b]) / 2 + 0.5
    rng = np.random.default_rng(data.draw(f"interval over models {name}").getrandbits(32))
    found = []
    for _ in range(RESAMPLES):
        drawn = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names)).astype(float)
        count = drawn @ of @ drawn
        if count:
            found.append(drawn @ right @ drawn / count)
    return [round(float(x), 4) for x in np.quantile(found or [math.nan], [0.025, 0.975])]


def models(items: list[dict], scores, source: str) -> list[tuple]:
    """(label, mean rank within the prompt, mean logarithm of length) of every model of a source."""
    sums: dict[str, list] = {}
    for members in prompts(items):
        members = [place for place in members if items[place]["source"] == source]
        if len(members) < 2:
            continue
        placed = ranks([scores[place] for place in members]) / (len(members) - 1)
        for rank, place in zip(placed, members):
            item = items[place]
            sums.setdefault(item["model"], []).append((item["label"], rank, math.log(item["chars"] + 1)))
    return [tuple(np.mean(lines, axis=0)) for lines in sums.values() if len(lines) >= LEAST_ANSWERS]


def model_ranking(items: list[dict], scores, name: str) -> dict:
    """Spearman by model, per source with at least 5 models."""
    rated = [place for place, item in enumerate(items) if item["kind"] == "model_rating"]
    items, scores = [items[place] for place in rated], [scores[place] for place in rated]
    found = {}
    for source in sorted({item["source"] for item in items}):
        lines = models(items, scores, source)
        if len(lines) < 5:
            continue
        estimates = {
            "spearman": lambda some: spearman(*zip(*[(a, b) for a, b, _ in some])),
            "length alone": lambda some: spearman(*zip(*[(a, c) for a, _, c in some])),
            "given length": lambda some: partial(*zip(*some)),
        }
        found[source] = {"models": len(lines)}
        for key, estimate in estimates.items():
            found[source][key] = round(estimate(lines), 4)
            found[source][key + ", interval"] = interval(estimate, lines, f"{name} {source} {key}")
    return found


def overlap(a: str, b: str) -> float:
    """Part of the 12-character pieces of `a` that are in `b`."""
    pieces = [a[start : start + 12] for start in range(0, max(1, len(a) - 12), 7)]
    return sum(piece in b for piece in pieces) / len(pieces)


def degraded_pairs(items: list[dict]) -> list[tuple[str, int, int]]:
    """(kind, place of an original, place of a degraded answer). The data do not say which answer a degraded one was made
    of: it is the one that it shares most text with; where nothing is shared, the best one of the prompt."""
    groups: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        groups.setdefault(item["group"], []).append(place)
    found = []
    for members in groups.values():
        originals = [place for place in members if items[place]["kind"] != "degraded"]
        for place in members:
            if items[place]["kind"] == "degraded" and originals:
                shared = lambda other: overlap(items[place]["answer"], items[other]["answer"])
                best = max(originals, key=lambda other: (round(shared(other), 1), items[other]["label"]))
                if items[best]["label"] > items[place]["label"]:
                    found.append((items[place]["model"].removeprefix("degraded: "), best, place))
    return found


def shares(kinds: list[str], won: list[float]) -> dict:
    """The share won in each kind, with intervals."""
    found = {}
    for kind in sorted(set(kinds)):
        some = [value for value, other in zip(won, kinds) if other == kind]
        found[kind] = {"pairs": len(some), "right": round(sum(some) / len(some), 4), "interval": share_interval(sum(some), len(some))}
    return found


def won(good, bad) -> list[float]:
    return [float(np.sign(a - b) / 2 + 0.5) for a, b in zip(good, bad)]


def made_pairs(items: list[dict], each: int) -> list[tuple[str, str, str, str]]:
    """(kind, question, good answer, worse version) of held-out answers, with phrases that are never trained on."""
    pool = [(item["group"], item["answer"]) for item in items if item["kind"] != "degraded"]
    good = sorted((item for item in items if item["kind"] != "degraded" and item["label"] >= 0.5), key=lambda item: item["id"])
    maker, found = worse.Maker(pool, held_out=True), []
    for kind in worse.KINDS if good else ():
        rng, some = data.draw(f"made pairs {kind}"), 0
        for _ in range(each * 4):
            item = rng.choice(good)
            text = maker.make(rng, kind, item["group"], item["question"], item["answer"])
            if text and some < each:
                found.append((kind, item["question"], item["answer"], text))
                some += 1
    return found


def dev_items(items: list[dict], most: int) -> list[dict]:
    """Whole prompts of the dev splits, up to `most` answers, half of them of each split."""
    groups: dict[tuple, list[dict]] = {}
    for item in items:
        if item["split"] in data.DEV_SPLITS and item["kind"] != "degraded":
            groups.setdefault((item["split"], item["group"], item["source"]), []).append(item)
    chosen = sorted((key for key in groups if len(groups[key]) > 1), key=lambda key: data.part(f"dev {key}"))
    found: list[dict] = []
    for split in data.DEV_SPLITS:
        some: list[dict] = []
        for key in chosen:
            if key[0] == split and len(some) + len(groups[key]) <= most // 2:
                some += groups[key]
        found += some
    return found


def short(items: list[dict], scores) -> dict:
    """What is looked at while training goes on: the pair accuracy of each dev split."""
    found = {}
    for split in data.DEV_SPLITS:
        places = [place for place, item in enumerate(items) if item["split"] == split]
        tables = pair_table([items[place] for place in places], [scores[place] for place in places])
        if tables:
            lines = np.concatenate(tables)
            against = lines[lines[:, 2] == 0.0]
            found[split] = {
                "pairs": len(lines),
                "right": round(float(lines[:, 0].mean()), 4),
                "by length": round(float(lines[:, 1].mean()), 4),
                "right against length": round(float(against[:, 0].mean()), 4) if len(against) else None,
            }
    return found


def reliability(items: list[dict], scores) -> dict:
    """How much of a score is the model's and how much this one answer's.

    Every score is taken as prompt + model + rest (two-way analysis of variance). `single` is the part of the variance
    between models' answers to a prompt that is the models', so a mean over n answers has
    n * single / (1 + (n - 1) * single). The rest is not all noise: one answer of a model can be better than another.
    `shared` is the correlation of the rest with that of a strong judge's grades, where single answers have some.
    """
    found = {}
    for source in sorted({item["source"] for item in items if item["kind"] == "model_rating"}):
        places = [place for place, item in enumerate(items) if item["source"] == source and item["kind"] == "model_rating"]
        found[source] = variances([items[place] for place in places], [scores[place] for place in places])
    found = {source: figures for source, figures in found.items() if figures}
    judged = [place for place, item in enumerate(items) if item["kind"] == "gpt4_score" and not item["model"].startswith("uf-")]
    if len(judged) >= 30:
        ours = rest([items[place] for place in judged], [scores[place] for place in judged])
        theirs = rest([items[place] for place in judged], [items[place]["label"] for place in judged])
        found["shared with a strong judge"] = {"answers": len(judged), "correlation": round(correlation(ours, theirs), 4)}
    return found


def centred(values: np.ndarray, keys: list) -> np.ndarray:
    places: dict = {}
    for place, key in enumerate(keys):
        places.setdefault(key, []).append(place)
    made = values.copy()
    for some in places.values():
        made[some] -= values[some].mean()
    return made


def rest(items: list[dict], values) -> np.ndarray:
    """What is left of the values without the means of prompts and models, by taking them out in turn."""
    values = np.asarray(values, float)
    for _ in range(30):
        values = centred(centred(values, [item["group"] for item in items]), [item["model"] for item in items])
    return values


def variances(items: list[dict], scores) -> dict | None:
    by_model = data.counts(items, "model")
    kept = [place for place, item in enumerate(items) if by_model[item["model"]] >= LEAST_ANSWERS]
    items, scores = [items[place] for place in kept], np.asarray(scores, float)[kept]
    names, groups = {item["model"] for item in items}, {item["group"] for item in items}
    free = len(items) - len(names) - len(groups) + 1
    if len(names) < 5 or free < 30:
        return None
    noise = float((rest(items, scores) ** 2).sum() / free)
    centre = centred(scores, [item["group"] for item in items])
    means = [centre[[place for place, item in enumerate(items) if item["model"] == name]].mean() for name in sorted(names)]
    each = len(items) / len(names)
    between = max(0.0, float(np.var(means, ddof=1)) - noise / each)
    single = between / (between + noise)
    of = lambda n: round(n * single / (1 + (n - 1) * single), 4)
    return {
        "models": len(names),
        "answers": len(items),
        "variance of models": round(between, 5),
        "variance of single answers": round(noise, 5),
        "single": of(1),
        "of 10": of(10),
        "of 100": of(100),
    }
