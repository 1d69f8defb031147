"""From logit to score: sigmoid(a * logit + b), with a and b fitted to the labels (Platt scaling)."""

import numpy as np


def fit(numbers, labels) -> dict[str, float]:
    """a and b with the least cross-entropy, by Newton's method. The labels are shares, 0 to 1."""
    x, y = np.asarray(numbers, float), np.asarray(labels, float)
    a, b = 1.0, 0.0
    for _ in range(50):
        p = 1 / (1 + np.exp(-(a * x + b)))
        gradient = np.array([((p - y) * x).sum(), (p - y).sum()])
        weight = p * (1 - p)
        curvature = np.array([[(weight * x * x).sum(), (weight * x).sum()], [(weight * x).sum(), weight.sum()]])
        # A little of a ridge, for data without any spread.
        step = np.linalg.solve(curvature + 1e-6 * np.eye(2), gradient)
        a, b = a - step[0], b - step[1]
        if np.abs(step).max() < 1e-10:
            break
    # The engine takes only slopes above 0: an answer with a higher logit has the higher score.
    return {"a": round(max(float(a), 1e-3), 6), "b": round(float(b), 6)}
