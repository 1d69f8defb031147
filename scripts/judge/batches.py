"""Which answers go through the network together: a function of the seed and the step alone, so that training resumes."""

import math
import random
import re

import data
import worse
from settings import Schedule


def anti_length_gain(items: list[dict], group: list[int]) -> float:
    """How much a group of answers to one prompt teaches: a large gap of labels is good, longer answers that are also the
    better ones are bad."""
    gap, with_length = 0.0, 0.0
    for place, left in enumerate(group):
        for right in group[place + 1 :]:
            better = items[left]["label"] - items[right]["label"]
            gap += min(abs(better), 0.4)
            with_length += better * math.log((items[left]["chars"] + 50) / (items[right]["chars"] + 50))
    return gap - 1.2 * max(with_length, 0.0)


MARKDOWN = re.compile(r"^\s*(?:[-*•+]|\d+[.)]|#+)\s+|[*_`#>|~]+", re.MULTILINE)
# Least tokens of an answer in a group that is cut to one length.
LEAST_LEVEL = 24


def chunks(some: list[int], size: int) -> list[list[int]]:
    """`some` in parts of `size`; a single one that is left over joins the last part."""
    made = [some[start : start + size] for start in range(0, len(some), size)]
    if len(made) > 1 and len(made[-1]) == 1:
        last = made.pop()
        made[-1] += last
    return made


class Batches:
    """Groups of real answers with worse versions of some of them, step by step. In one pass every answer comes once."""

    def __init__(self, items: list[dict], rows: data.Rows, schedule: Schedule) -> None:
        self.items, self.rows, self.schedule = items, rows, schedule
        self.maker = worse.Maker([(item["group"], item["answer"]) for item in items if item["kind"] != "degraded"])
        # Labels of different sources are on different scales, so only answers of one source are compared.
        self.prompts: dict[tuple[str, str], list[int]] = {}
        for number, item in enumerate(items):
            self.prompts.setdefault((item["group"], item["source"].removesuffix(" + ours")), []).append(number)
        self.passes: dict[int, list[list[list[int]]]] = {}
        self.by_model = data.counts(items, "model")
        self.usual = sum(self.by_model.values()) / max(1, len(self.by_model))

    def one_pass(self, number: int) -> list[list[list[int]]]:
        """The groups of every step of a pass."""
        if number not in self.passes:
            rng = data.draw(f"pass {number}")
            groups = []
            for members in self.prompts.values():
                drawn = []
                for _ in range(6):
                    some = members[:]
                    rng.shuffle(some)
                    drawn.append(chunks(some, self.schedule.group))
                groups += max(drawn, key=lambda made: sum(anti_length_gain(self.items, group) for group in made))
            rng.shuffle(groups)
            steps, full = [[]], 0
            for group in groups:
                if full + len(group) > self.schedule.rows and steps[-1]:
                    steps.append([])
                    full = 0
                steps[-1].append(group)
                full += len(group)
            self.passes = {number: steps}
        return self.passes[number]

    def groups(self, step: int) -> list[list[int]]:
        number = 0
        while True:
            found = self.one_pass(number)
            if step < len(found):
                return found[step]
            step -= len(found)
            number += 1

    def worse_versions(self, rng: random.Random, chosen: list[int]) -> list[tuple[int, str, str]]:
        """(place in the batch, kind, text) of worse versions of good answers in it."""
        made = []
        places = [place for place, number in enumerate(chosen) if self.items[number]["kind"] != "degraded"]
        # Good answers rather than bad ones: what is bad already hardly becomes worse.
        places.sort(key=lambda place: -self.items[chosen[place]]["label"] * rng.random() ** 0.5)
        kinds = [*worse.KINDS, *worse.OFTEN]
        rng.shuffle(kinds)
        for place in places[: self.schedule.made]:
            item = self.items[chosen[place]]
            for _ in range(4):
                kind = kinds[len(made) % len(kinds)]
                text = self.maker.make(rng, kind, item["group"], item["question"], item["answer"])
                seen = text and self.rows.tokens(text, "answer")
                if seen and seen != self.rows.kept(item["answer"], "answer"):
                    made.append((place, kind, text))
                    break
                rng.shuffle(kinds)
        return made

    def weight(self, left: int, right: int) -> float:
        """What a pair counts. A strong judge's grades of the single answers say more than ratings of whole models; and
        whoever has many answers in the data is no better a teacher than others, for the label is the model's."""
        a, b = self.items[left], self.items[right]
        if a["kind"] == b["kind"] == "gpt4_score":
            return 2.0
        rare = self.usual**2 / (self.by_model[a["model"]] * self.by_model[b["model"]])
        return min(2.0, max(0.5, rare**0.25))

    def views(self, rng: random.Random, group: list[int]) -> tuple[list[list[int]], bool]:
        """The tokens of the answers of a group, and whether they can be graded by themselves."""
        answers = [self.rows.kept(self.items[number]["answer"], "answer") for number in group]
        if len(group) < 2:
            return answers, True
        roll = rng.random()
        if roll < self.schedule.plain:
            return [self.rows.tokens(MARKDOWN.sub(" ", self.items[number]["answer"]), "answer") for number in group], True
        if roll < self.schedule.plain + self.schedule.level:
            # All of them lose their end, so that being whole tells nothing.
            most = int(min(map(len, answers)) * 0.85)
            if most >= LEAST_LEVEL:
                kept = rng.randint(LEAST_LEVEL, most)
                return [answer[:kept] for answer in answers], False
        return answers, True

    def batch(self, step: int) -> dict:
        """Rows of tokens with labels. `pairs`: (answer, other answer to the prompt, weight); `made`: (good answer, worse
        version of it, difference of labels); `graded`: the rows whose label holds for what they show."""
        groups, rng = self.groups(step), data.draw(f"step {step}")
        chosen = [number for group in groups for number in group]
        labels = [self.items[number]["label"] for number in chosen]
        rows, pairs, graded = [], [], []
        for group in groups:
            question = self.rows.kept(self.items[group[0]]["question"], "question")
            start, (answers, whole) = len(rows), self.views(rng, group)
            rows += [self.rows.row(question, answer) for answer in answers]
            graded += range(start, len(rows)) if whole else []
            for left in range(len(group)):
                for right in range(left + 1, len(group)):
                    if abs(labels[start + left] - labels[start + right]) > 0.02:
                        pairs.append((start + left, start + right, self.weight(group[left], group[right])))
        # Worse versions are compared with good answers as they are, so these come again where another view was shown.
        made, shown = [], {}
        for place, kind, text in self.worse_versions(rng, chosen):
            item = self.items[chosen[place]]
            question = self.rows.kept(item["question"], "question")
            good = self.rows.row(question, self.rows.kept(item["answer"], "answer"))
            if rows[place] != good and place not in shown:
                shown[place] = len(rows)
                rows.append(good)
                labels.append(item["label"])
                graded.append(shown[place])
            made.append((shown.get(place, place), len(rows), worse.DROP[kind]))
            graded.append(len(rows))
            rows.append(self.rows.row(question, self.rows.tokens(text, "answer")))
            labels.append(max(worse.LOWEST_LABEL, item["label"] - worse.DROP[kind]))
        return {"rows": rows, "labels": labels, "pairs": pairs, "made": made, "graded": graded}
