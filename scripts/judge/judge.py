"""The steps from the data to the files of the judge. README.md describes them; judge.sh starts this."""

import argparse
import dataclasses
import json
import os
import pathlib
import sys

import data
import settings

STEPS = ("prepare", "train", "export", "calibrate", "evaluate", "manifest")
# Answers of the dev splits that the calibration is fitted to.
CALIBRATED = 1500
MORE = ("status", "reliability", "pay", "suite", "attack")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="judge.sh", description="Trains the judge of answers, from the data to the files.")
    parser.add_argument("step", nargs="?", default="all", choices=("all", *STEPS, *MORE),
                        help="one step; `all` (the default) does each that is not done yet")
    parser.add_argument("--data", type=pathlib.Path, default=os.environ.get("POQ_JUDGE_DATA"), help="judge_data.jsonl.gz (default: $POQ_JUDGE_DATA)")
    parser.add_argument("--any-data", action="store_true", help="take data with another SHA-256 than the recipe's")
    parser.add_argument("--licence", choices=tuple(settings.TERMS), default="shipped",
                        help="answers to train on, by the terms of their generators: `shipped` leaves out research, non-commercial and own "
                             "community licences, `open` takes Apache-2.0 and MIT only, `all` takes everything, for measuring what that costs")
    parser.add_argument("--work", type=pathlib.Path, help="folder of checkpoints and results (default: $POQ_CACHE/judge/runs/LICENCE)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER",
                        help="a setting of the schedule: " + ", ".join(f"{field.name} {field.default}" for field in dataclasses.fields(settings.Schedule)))
    parser.add_argument("--cut", metavar="A,B,C,D", help="tokens kept: first and last of the question, first and last of the answer")
    parser.add_argument("--file", choices=("fp32", "int8", "dynamic"), default="int8", help="the file that is calibrated and measured (default: int8)")
    parser.add_argument("--rows", type=int, default=0, help="answers of each test split that are measured (default: all)")
    return parser.parse_args()


class Run:
    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        cache = pathlib.Path(os.environ.get("POQ_CACHE") or pathlib.Path.home() / ".cache" / "proof-of-quality")
        self.base = cache / "minilm" / "source"
        self.work = given.work or cache / "judge" / "runs" / given.licence
        self.work.mkdir(parents=True, exist_ok=True)
        self.items_file = self.work / "items.jsonl"
        self.schedule = dataclasses.replace(settings.Schedule(), **dict(map(self.setting, given.set)))
        self.cut = cut_of(given.cut) if given.cut else settings.CUT
        self.rows = data.Rows(self.base / "tokenizer.json", self.cut)

    @staticmethod
    def setting(text: str) -> tuple[str, float]:
        kinds = {field.name: type(field.default) for field in dataclasses.fields(settings.Schedule)}
        name, _, value = text.partition("=")
        try:
            return name, kinds[name](value)
        except (KeyError, ValueError):
            raise data.Wrong(f"--set {text}: it has to be NAME=NUMBER with one of {', '.join(kinds)}") from None

    def items(self) -> list[dict]:
        if not self.items_file.is_file():
            raise data.Wrong(f"{self.items_file} is not there; the step `prepare` makes it")
        with open(self.items_file) as file:
            return [json.loads(line) for line in file]

    def put(self, name: str, found: dict) -> None:
        data.write(self.work / name, json.dumps(without_nan(found), indent=2, ensure_ascii=False) + "\n")

    def get(self, name: str, step: str) -> dict:
        path = self.work / name
        if not path.is_file():
            raise data.Wrong(f"{path} is not there; the step `{step}` makes it")
        return json.loads(path.read_text())

    def session(self):
        import export

        if not (self.work / self.given.file / "model.onnx").is_file():
            raise data.Wrong(f"{self.work / self.given.file} has no model.onnx; the step `export` makes it")
        return export.Session(self.work / self.given.file, int(os.environ.get("OMP_NUM_THREADS", "1")))

    def score(self, pairs: list[tuple[str, str]], session, calibration: dict | None, name: str):
        """Scores of pairs, or logits if there is no calibration."""
        import numpy as np

        numbers = session.logits([self.rows.pair(*pair) for pair in pairs], name=name)
        return numbers if calibration is None else 1 / (1 + np.exp(-(calibration["a"] * numbers + calibration["b"])))

    # Steps, and what tells that one is done.

    def outputs(self) -> dict[str, list[pathlib.Path]]:
        names = {
            "prepare": ["items.jsonl"],
            "train": ["trained.pt"],
            "export": ["sizes.json"],
            "calibrate": ["calibration.json"],
            "evaluate": ["figures.json"],
            "manifest": ["judge/poq.json"],
        }
        return {step: [self.work / name for name in some] for step, some in names.items()}

    def done(self, step: str) -> bool:
        """Its files are there, and no older than those of the step before it."""
        outputs, place = self.outputs(), STEPS.index(step)
        mine = outputs[step]
        if not all(path.is_file() for path in mine):
            return False
        before = outputs[STEPS[place - 1]] if place else []
        return all(path.is_file() and path.stat().st_mtime <= min(own.stat().st_mtime for own in mine) for path in before)

    def prepare(self) -> None:
        if not self.given.data:
            raise data.Wrong("POQ_JUDGE_DATA is not set; it has to name judge_data.jsonl.gz")
        found = data.read(self.given.data, self.given.any_data)
        items = data.prepare(found, self.given.licence)
        if not any(item["split"] == "train" for item in items):
            raise data.Wrong(f"{self.given.data} has no answer that --licence {self.given.licence} may train on")
        data.write(self.items_file, "".join(json.dumps(item, ensure_ascii=False, sort_keys=True) + "\n" for item in items))
        train = [item for item in items if item["split"] == "train"]
        left_out = [item for item in found if data.split(item) == "train" and not data.usable(item, self.given.licence)]
        self.put("prepared.json", {
            "licence": self.given.licence,
            "splits": data.counts(items, "split"),
            "trained, by terms": data.counts(train, "generator_terms"),
            "trained, by source": data.counts(train, "source"),
            "left out, by terms": data.counts(left_out, "generator_terms"),
        })
        print((self.work / "prepared.json").read_text())

    def train(self) -> None:
        import train

        train.Training(self.items(), self.rows, self.base, self.work, self.schedule).run()

    def export(self) -> None:
        import export

        trained = self.work / "trained.pt"
        if not trained.is_file():
            raise data.Wrong(f"{trained} is not there; the step `train` makes it")
        sizes = export.export(trained, self.base / "tokenizer.json", self.work)
        self.put("sizes.json", sizes)
        print("bytes with tokenizer: " + json.dumps(sizes))

    def calibrate(self) -> None:
        import calibrate
        import measure

        items = measure.dev_items(self.items(), CALIBRATED)
        if not items:
            raise data.Wrong(f"{self.items_file} has no answers in the dev splits, which the calibration is fitted to")
        numbers = self.score([(item["question"], item["answer"]) for item in items], self.session(), None, "calibrate")
        fitted = calibrate.fit(numbers, [item["label"] for item in items])
        self.put("calibration.json", fitted)
        print("score = sigmoid(a * logit + b): " + json.dumps(fitted))

    def evaluate(self) -> None:
        import evaluate

        figures = evaluate.figures(self)
        self.put("figures.json", figures)
        print(json.dumps(figures, indent=2, ensure_ascii=False))

    def reliability(self) -> None:
        import measure

        items, scores = self.scored()
        print(json.dumps(measure.reliability(items, scores), indent=2, ensure_ascii=False))

    def pay(self) -> None:
        import pay

        print(json.dumps(pay.figures(*self.scored()), indent=2))

    def scored(self) -> tuple[list[dict], list[float]]:
        """The answers that `evaluate` measured, with their scores."""
        scores = self.get("scores.json", "evaluate")["scores"]
        items = [item for item in self.items() if str(item["id"]) in scores]
        return items, [scores[str(item["id"])] for item in items]

    def manifest(self) -> None:
        import manifest

        manifest.write(self)

    def attack(self) -> None:
        import attack

        found = attack.figures(self)
        self.put("attack.json", found)
        print(json.dumps(found, indent=2))

    def suite(self) -> None:
        import evaluate

        print(json.dumps(evaluate.suite(self, self.session(), self.get("calibration.json", "calibrate")), indent=2))

    def status(self) -> None:
        for step in STEPS:
            print(f"{step:10} {'done' if self.done(step) else 'to do'}")
        dev = self.work / "dev.jsonl"
        if dev.is_file():
            print(dev.read_text().splitlines()[-1])

    def all(self) -> None:
        for step in STEPS:
            if self.done(step):
                print(f"{step}: done already, in {self.work}")
            else:
                print(f"{step}: begins")
                getattr(self, step)()


def without_nan(found):
    """The same with `None` for what is no number: JSON knows no NaN."""
    if isinstance(found, dict):
        return {key: without_nan(value) for key, value in found.items()}
    if isinstance(found, (list, tuple)):
        return [without_nan(value) for value in found]
    return None if isinstance(found, float) and found != found else found


def cut_of(text: str) -> dict:
    parts = text.split(",")
    if len(parts) != 4 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise data.Wrong(f"--cut {text}: it has to be four numbers above 0 with commas between them, such as 32,16,100,40")
    a, b, c, d = map(int, parts)
    if a + b + c + d + 3 > 512:
        raise data.Wrong(f"--cut {text}: together with 3 special tokens that is more than the 512 that the network takes")
    return {"question": {"first": a, "last": b}, "answer": {"first": c, "last": d}}


def main() -> None:
    try:
        given = arguments()
        getattr(Run(given), given.step)()
    except data.Wrong as error:
        sys.exit(f"judge: {error}")


if __name__ == "__main__":
    main()
