"""Pay by many answers: how much less an honest operator's pay strays than by single scores (`settlement.rs` of the pallet)."""

import numpy as np

import data

# As in the pallet: the speed of the average, and the noise of the manifest.
PACE, NOISE = 1 / 16, 0.06
# Answers of a model, lives drawn from them, answers before a life is looked at, and answers that are.
LEAST, LIVES, BEFORE, LOOKED_AT = 30, 60, 60, 100


def figures(items: list[dict], scores: list[float]) -> dict:
    """Medians over models: variance of pay over that of scores, for single answers and for sums of 100."""
    by_model: dict[str, list[float]] = {}
    for item, score in zip(items, scores):
        if item["kind"] == "model_rating":
            by_model.setdefault(item["model"], []).append(score)
    single, summed = [], []
    for model, own in sorted(by_model.items()):
        if len(own) >= LEAST:
            rng = data.draw(f"pay {model}")
            lives = np.array([life(rng, own) for _ in range(LIVES)])
            (paid, paid_by_score) = lives[:, 0], lives[:, 1]
            single.append(paid.var() / paid_by_score.var())
            summed.append(paid.sum(1).var() / paid_by_score.sum(1).var())
    return {"models": len(single), "single answers": round(float(np.median(single)), 3), "sums of 100": round(float(np.median(summed)), 3)}


def life(rng, own: list[float]) -> tuple[list[float], list[float]]:
    known, forgone, paid, scores = 0.0, 0.0, [], []
    for _ in range(BEFORE + LOOKED_AT):
        score = rng.choice(own)
        leaned = score + min((known - score) / 2, NOISE)
        paid.append(min(leaned, score + forgone))
        forgone += score - paid[-1]
        scores.append(score)
        known += (score - known) * PACE
    return paid[BEFORE:], scores[BEFORE:]
