"""Search for text that fools the judge: how far a bad answer can be pushed by whoever can ask the judge as often as it likes."""

import random

import numpy as np

import data
import measure
import worse

# Kinds of answers that nobody should pay for.
BAD = ("off_topic", "evasive", "wrong_language", "shuffled")
# Bad answers of each kind, and asks of the judge that each attack has for one of them.
EACH, ASKS = 6, 64
# Words of a suffix.
WORDS = 10


class Victim:
    """A bad answer, with the good one that it must not beat."""

    def __init__(self, judge, kind: str, question: str, good: str, bad: str) -> None:
        self.judge, self.kind, self.question, self.bad = judge, kind, question, bad
        self.above, self.before = judge([(question, good), (question, bad)])

    def scores(self, texts: list[str]) -> np.ndarray:
        return self.judge([(self.question, text) for text in texts])


def phrases(rng: random.Random, victim: Victim, words: list[str], maker: worse.Maker) -> float:
    """The best of phrases that flatter, please, pad or lay out, around the answer."""
    kinds = ("flattering", "judge_pleasing", "padded", "formatted")
    made = (maker.make(rng, rng.choice(kinds), "", victim.question, victim.bad) for _ in range(ASKS))
    return max(victim.scores([text or victim.bad for text in made]))


def random_suffix(rng: random.Random, victim: Victim, words: list[str], _maker) -> float:
    """The best of random words at the end."""
    return max(victim.scores([victim.bad + " " + " ".join(rng.sample(words, WORDS)) for _ in range(ASKS)]))


def greedy_suffix(rng: random.Random, victim: Victim, words: list[str], _maker) -> float:
    """Words at the end, one after the other, each the best of a few."""
    text, best, some = victim.bad, victim.before, ASKS // WORDS
    for _ in range(WORDS):
        tried = [f"{text} {word}" for word in rng.sample(words, some)]
        scores = victim.scores(tried)
        if max(scores) > best:
            text, best = tried[int(np.argmax(scores))], max(scores)
    return best


def greedy_changes(rng: random.Random, victim: Victim, words: list[str], maker: worse.Maker) -> float:
    """Changes on top of each other, kept if they help: phrases around, words put in, sentences left out."""
    text, best, at_once = victim.bad, victim.before, 16
    for _ in range(ASKS // at_once):
        tried = [changed(rng, victim, text, words, maker) for _ in range(at_once)]
        scores = victim.scores(tried)
        if max(scores) > best:
            text, best = tried[int(np.argmax(scores))], max(scores)
    return best


def changed(rng: random.Random, victim: Victim, text: str, words: list[str], maker: worse.Maker) -> str:
    way, parts = rng.random(), text.split()
    if way < 0.4:
        return maker.make(rng, rng.choice(("flattering", "judge_pleasing", "formatted")), "", victim.question, text) or text
    place = rng.randint(0, len(parts))
    if way < 0.8:
        return " ".join(parts[:place] + rng.sample(words, 2) + parts[place:])
    return " ".join(parts[:place] + parts[place + rng.randint(1, 12) :]) or text


ATTACKS = (phrases, random_suffix, greedy_suffix, greedy_changes)


def figures(run) -> dict:
    """For each attack the share of bad answers that it lifts above the good answer to the same question, and by how much it lifts."""
    calibration, session = run.get("calibration.json", "calibrate"), run.session()
    judge = lambda pairs: run.score(pairs, session, calibration, "")
    items = [item for item in run.items() if item["split"] in ("test_prompt", "test_both")]
    pairs = [pair for pair in measure.made_pairs(items, EACH) if pair[0] in BAD]
    victims = [Victim(judge, *pair) for pair in pairs]
    # A bad answer that beats the good one without a search is counted by `evaluate`.
    victims = [victim for victim in victims if victim.before < victim.above]
    maker = worse.Maker([(item["group"], item["answer"]) for item in items], held_out=True)
    words = vocabulary(run.rows)
    found = {"file": run.given.file, "victims": len(victims), "asks": ASKS, "attacks": {}}
    lifted_by_any = np.zeros(len(victims), bool)
    for attack in ATTACKS:
        best = np.array([attack(data.draw(f"attack {attack.__name__} {place}"), victim, words, maker) for place, victim in enumerate(victims)])
        won = best > [victim.above for victim in victims]
        lifted_by_any |= won
        lift = best - [victim.before for victim in victims]
        found["attacks"][attack.__name__] = share(won) | {"lift, median": round(float(np.median(lift)), 4), "lift, most": round(float(lift.max()), 4)}
        print(f"{attack.__name__}: {found['attacks'][attack.__name__]}", flush=True)
    found["best of all"] = share(lifted_by_any)
    found["by kind"] = {kind: share(lifted_by_any[[place for place, victim in enumerate(victims) if victim.kind == kind]]) for kind in BAD}
    found["score of bad, of good"] = [round(float(np.mean([getattr(victim, side) for victim in victims])), 4) for side in ("before", "above")]
    return found


def share(won: np.ndarray) -> dict:
    return {"above the good answer": round(float(won.mean()) if len(won) else 0.0, 4), "interval": measure.share_interval(float(won.sum()), len(won))}


def vocabulary(rows) -> list[str]:
    """Whole words of the tokenizer."""
    return sorted(word for word in rows.tokenizer.get_vocab() if word.isascii() and word.isalpha() and len(word) > 2)
