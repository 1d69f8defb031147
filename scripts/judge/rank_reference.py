"""Figures of a ranking by SciPy, for the tests of `poq-worker rank`: offchain-worker/tests/data/ranking.json.

    pip install scipy==1.16.3
    python3 scripts/judge/rank_reference.py

writes the file. Scores, lengths and leaderboard are drawn with a seed; lengths go with both, and some values are equal.
"""

import json
import pathlib

import numpy as np
from scipy import stats

FILE = pathlib.Path(__file__).resolve().parents[2] / "offchain-worker" / "tests" / "data" / "ranking.json"
MODELS, QUESTIONS, DRAWS = 24, 15, 50_000


def residuals(values: np.ndarray, given: np.ndarray) -> np.ndarray:
    """What is left of the ranks of `values` without those of `given`: of a straight line through them."""
    line = stats.linregress(stats.rankdata(given), stats.rankdata(values))
    return stats.rankdata(values) - line.intercept - line.slope * stats.rankdata(given)


def partial(x, y, given) -> float:
    return stats.pearsonr(residuals(x, given), residuals(y, given)).statistic


def spearman(x, y) -> float:
    return stats.spearmanr(x, y).statistic


def interval(columns: tuple, statistic) -> list[float]:
    found = stats.bootstrap(
        columns, statistic, paired=True, vectorized=False, n_resamples=DRAWS, method="percentile", rng=np.random.default_rng(2)
    )
    return [float(found.confidence_interval.low), float(found.confidence_interval.high)]


def main() -> None:
    rng = np.random.default_rng(1)
    quality = rng.normal(0, 1, MODELS)
    lengths = np.rint(np.exp(rng.normal(4 + 0.4 * quality[:, None], 0.4, (MODELS, QUESTIONS)))).astype(int)
    scores = 1 / (1 + np.exp(-(0.5 * quality[:, None] + rng.normal(0, 1, (MODELS, QUESTIONS)))))
    scores = scores.round(4)
    values = np.rint(1000 + 40 * (quality + rng.normal(0, 0.8, MODELS))) // 10 * 10
    mean_scores, mean_lengths = scores.mean(1), lengths.mean(1)
    found = {
        "models": [
            {
                "value": float(value),
                "scores": some.tolist(),
                "lengths": long.tolist(),
                "mean": float(some.mean()),
                "interval": interval((some,), np.mean),
            }
            for value, some, long in zip(values, scores, lengths)
        ],
        "spearman": spearman(mean_scores, values),
        "spearman_interval": interval((mean_scores, values), spearman),
        "given_length": partial(mean_scores, values, mean_lengths),
        "given_length_interval": interval((mean_scores, values, mean_lengths), partial),
        "length": spearman(mean_lengths, values),
        "length_interval": interval((mean_lengths, values), spearman),
    }
    models = ",\n".join(json.dumps(model) for model in found.pop("models"))
    rest = ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in found.items())
    FILE.write_text(f'{{"models": [\n{models}\n],\n{rest}}}\n')
    print(FILE)


if __name__ == "__main__":
    main()
