"""Tests of this folder, on small data of our own making. test.sh starts them."""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np
import torch

import batches
import calibrate
import cutting
import data
import export
import measure
import settings
import small
import suite
import worse

HERE = pathlib.Path(__file__).resolve().parent
BASE = pathlib.Path(os.environ["POQ_CACHE"]) / "minilm" / "source"
FEW = {"steps": 12, "warm": 3, "rows": 8, "made": 4, "save_every": 3, "dev_every": 12, "dev_rows": 30}


def rows(cut=settings.CUT) -> data.Rows:
    return data.Rows(BASE / "tokenizer.json", cut)


class Cutting(unittest.TestCase):
    def test_both_ends_of_a_long_text_are_kept(self):
        cut = {"question": {"first": 2, "last": 1}, "answer": {"first": 3, "last": 2}}
        made = rows(cut)
        words = "one two three four five six seven eight".split()
        ids = {word: made.tokenizer.token_to_id(word) for word in words}
        wanted = lambda *some: [ids[word] for word in some]
        self.assertEqual(made.tokens(" ".join(words), "answer"), wanted("one", "two", "three", "seven", "eight"))
        self.assertEqual(made.tokens("one two three four five", "answer"), wanted("one", "two", "three", "four", "five"))
        self.assertEqual(made.tokens("one two three four", "question"), wanted("one", "two", "four"))
        # Of a text that the data hold as head and tail.
        text = "one two three four" + settings.GAP + "five six seven"
        self.assertEqual(made.tokens(text, "answer"), wanted("one", "two", "three", "six", "seven"))
        self.assertEqual(made.longest, 2 + 1 + 3 + 2 + 3)
        row, kinds = made.pair(" ".join(words), " ".join(words))
        self.assertEqual((len(row), kinds), (made.longest, [0] * 5 + [1] * 6))

    def test_the_engine_is_held_to_this_cutting(self):
        self.assertEqual(cutting.EXAMPLES.read_text(), cutting.text(), "scripts/judge/cutting.py writes it anew")
        longest = max(len(case["ids"]) for case in cutting.examples()["cases"])
        self.assertEqual(longest, cutting.MAX_TOKENS)

    def test_of_a_very_long_text_the_ends_are_read(self):
        made = rows({"question": {"first": 2, "last": 1}, "answer": {"first": 3, "last": 2}})
        text = "one two three " + "x" * (5 * settings.BYTES_PER_TOKEN) + " four five"
        ids = [made.tokenizer.token_to_id(word) for word in "one two three four five".split()]
        self.assertEqual(made.whole(text, "answer"), ids)

    def test_special_tokens_in_a_text_are_characters(self):
        made = rows()
        self.assertNotIn(made.end, made.tokens("a [SEP] b", "answer"))


class Splits(unittest.TestCase):
    def test_licences(self):
        items = small.items()
        trained = lambda licence: {i["generator_terms"] for i in data.prepare(items, licence) if i["split"] == "train"}
        self.assertEqual(trained("open"), {settings.OPEN})
        self.assertEqual(trained("shipped"), {settings.OPEN, "Llama family"})
        self.assertEqual(trained("all"), {item["generator_terms"] for item in items})
        for licence in settings.TERMS:
            used = data.prepare(items, licence)
            self.assertFalse([i for i in used if i["split"] in data.DEV_SPLITS and not data.usable(i, licence)])
            self.assertEqual(
                {i["id"] for i in used if i["split"] in data.TEST_SPLITS}, {i["id"] for i in items if i["split"] in data.TEST_SPLITS}
            )


class Worse(unittest.TestCase):
    def test_every_kind_changes_the_answer_and_repeats_by_seed(self):
        items = [item for item in small.items() if item["model"] == "thorough"]
        maker = worse.Maker([(item["group"], item["answer"]) for item in items])
        for kind in worse.KINDS:
            made = 0
            for item in items:
                draw = lambda: maker.make(random.Random(item["id"]), kind, item["group"], item["question"], item["answer"])
                text = draw()
                self.assertEqual(text, draw())
                made += text is not None
                self.assertNotEqual(text, item["answer"])
            self.assertGreater(made, len(items) // 2, kind)

    def test_phrases_for_measuring_are_never_trained(self):
        train, held_out = worse.Maker([]).phrases, worse.Maker([], held_out=True).phrases
        for name, lines in train.items():
            self.assertFalse(set(lines) & set(held_out[name]))
            self.assertTrue(lines)
        self.assertTrue(all(held_out[name] for name in ("padding", "flattery", "pleasing", "evasion", "certainty")))

    def test_suite(self):
        self.assertEqual(suite.mistakes(suite.read()), [])


class Groups(unittest.TestCase):
    def test_a_pass_has_every_answer_once_and_depends_on_the_step_alone(self):
        items = [item for item in data.prepare(small.items(), "shipped") if item["split"] == "train"]
        schedule = settings.Schedule(**FEW)
        one, other = (batches.Batches(items, rows(), schedule) for _ in range(2))
        steps = one.one_pass(0)
        numbers = [number for step in steps for group in step for number in group]
        self.assertEqual(sorted(numbers), list(range(len(items))))
        for step in steps:
            for group in step:
                self.assertEqual(len({(items[n]["group"], items[n]["source"]) for n in group}), 1)
        late = len(steps) + 2
        self.assertEqual([one.batch(late), one.batch(3)], [other.batch(late), other.batch(3)])
        batch = one.batch(0)
        self.assertEqual(len(batch["rows"]), len(batch["labels"]))
        self.assertTrue(batch["pairs"] and batch["made"])
        for good, bad, drop in batch["made"]:
            self.assertAlmostEqual(max(batch["labels"][bad], batch["labels"][good] - drop), batch["labels"][bad])
            self.assertIn(bad, batch["graded"])

    def test_views_show_all_answers_of_a_group_alike(self):
        items = [item for item in data.prepare(small.items(), "shipped") if item["split"] == "train"]
        steps = batches.Batches(items, rows(), settings.Schedule(**FEW)).one_pass(0)
        groups = [group for step in steps for group in step]
        tokens = lambda group: [rows().tokens(items[number]["answer"], "answer") for number in group]
        group = next(group for group in groups if len(group) > 1 and min(map(len, tokens(group))) > 40)
        whole = tokens(group)
        views = lambda **some: batches.Batches(items, rows(), settings.Schedule(**FEW, **some)).views(random.Random(1), group)
        self.assertEqual(views(plain=0.0, level=0.0), (whole, True))
        level, graded = views(plain=0.0, level=1.0)
        self.assertFalse(graded)
        self.assertEqual(len({len(answer) for answer in level}), 1)
        self.assertLess(len(level[0]), min(map(len, whole)))
        self.assertEqual([answer[: len(cut)] for answer, cut in zip(whole, level)], level)
        plain, graded = views(plain=1.0, level=0.0)
        self.assertTrue(graded)
        self.assertNotIn(rows().tokenizer.token_to_id("*"), sum(plain, []))

    def test_left_over_answers_join_the_last_group(self):
        self.assertEqual(batches.chunks([1, 2, 3, 4, 5], 4), [[1, 2, 3, 4, 5]])
        self.assertEqual(batches.chunks([1, 2, 3, 4, 5, 6], 4), [[1, 2, 3, 4], [5, 6]])
        self.assertEqual(batches.chunks([1], 4), [[1]])


class Figures(unittest.TestCase):
    def test_correlations(self):
        a = [1, 2, 3, 4, 5]
        self.assertAlmostEqual(measure.spearman(a, [2, 4, 6, 8, 100]), 1)
        self.assertAlmostEqual(measure.spearman(a, [5, 4, 3, 2, 1]), -1)
        # By hand: ranks with a tie, and the formula of the partial correlation.
        self.assertAlmostEqual(measure.spearman([1, 1, 2], [1, 2, 3]), 0.8660254, places=6)
        x, y, z = [1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5], [1, 3, 2, 5, 4, 6]
        xy, xz, yz = measure.spearman(x, y), measure.spearman(x, z), measure.spearman(y, z)
        self.assertAlmostEqual(measure.partial(x, y, z), (xy - xz * yz) / ((1 - xz**2) * (1 - yz**2)) ** 0.5)

    def test_pairs(self):
        item = lambda group, label, chars: {"group": group, "label": label, "chars": chars, "source": "s", "kind": "model_rating", "model": f"{group}{chars}"}
        items = [item("a", 0.9, 10), item("a", 0.5, 20), item("a", 0.48, 5), item("b", 0.1, 7), item("b", 0.9, 9)]
        found = measure.pair_accuracy(items, [0.9, 0.2, 0.3, 0.5, 0.5], "test")
        # 0.5 and 0.48 do not differ clearly; of the three other pairs two are right and one is a tie.
        self.assertEqual((found["pairs"], found["right"]), (3, round(2.5 / 3, 4)))
        self.assertEqual(found["right by length alone"], round(2 / 3, 4))

    def test_reliability_finds_the_share_it_was_made_with(self):
        rng = np.random.default_rng(1)
        models, prompts = rng.normal(0, 1, 40), rng.normal(0, 3, 60)
        items, scores = [], []
        for m, quality in enumerate(models):
            for p, ease in enumerate(prompts):
                items.append({"model": f"m{m}", "group": f"p{p}", "source": "s", "kind": "model_rating", "label": 0.5})
                scores.append(quality + ease + rng.normal(0, 2))
        found = measure.reliability(items, scores)["s"]
        self.assertAlmostEqual(found["single"], np.var(models, ddof=1) / (np.var(models, ddof=1) + 4), delta=0.03)
        self.assertAlmostEqual(found["of 100"], 100 * found["single"] / (1 + 99 * found["single"]), places=3)

    def test_calibration(self):
        x = np.linspace(-4, 4, 400)
        fitted = calibrate.fit(x, 1 / (1 + np.exp(-(1.7 * x - 0.6))))
        self.assertAlmostEqual(fitted["a"], 1.7, places=3)
        self.assertAlmostEqual(fitted["b"], -0.6, places=3)


class Steps(unittest.TestCase):
    """The program itself, from small data to the files."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="poq-judge-test-")
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.data = cls.folder / "small.jsonl.gz"
        small.write(cls.data)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def command(self, work: str, step: str, *more: str) -> list[str]:
        return [sys.executable, str(HERE / "judge.py"), step, "--work", str(self.folder / work), "--data", str(self.data), *more]

    def judge(self, *arguments: str, fails: bool = False) -> str:
        ran = subprocess.run(self.command(*arguments), capture_output=True, text=True)
        self.assertEqual(ran.returncode, 1 if fails else 0, ran.stdout + ran.stderr)
        return ran.stderr if fails else ran.stdout

    def few(self, **other) -> list[str]:
        return [f"--set={name}={value}" for name, value in (FEW | other).items()]

    def test_from_the_data_to_the_files(self):
        """Killed in the middle, training ends with the same weights; the files load, agree and are small enough."""
        self.judge("whole", "prepare", "--any-data")
        self.judge("whole", "train", *self.few())
        self.judge("killed", "prepare", "--any-data")
        training = subprocess.Popen(self.command("killed", "train", *self.few()), stdout=subprocess.DEVNULL)
        checkpoint = self.folder / "killed" / "checkpoint.pt"
        while not checkpoint.is_file() and training.poll() is None:
            time.sleep(0.02)
        training.kill()
        training.wait()
        reached = torch.load(checkpoint, weights_only=True)["step"]
        self.assertLess(reached, FEW["steps"], "it was to be killed before its end")
        self.assertFalse((self.folder / "killed" / "trained.pt").exists())
        self.assertIn("has other settings", self.judge("killed", "train", *self.few(rows=9), fails=True))
        resumed = self.judge("killed", "train", *self.few())
        self.assertIn(f"step {reached} of {FEW['steps']}", resumed)
        whole, killed = (torch.load(self.folder / work / "trained.pt", weights_only=True) for work in ("whole", "killed"))
        for name, values in whole.items():
            self.assertTrue(torch.equal(values, killed[name]), name)

        said = self.judge("whole", "all", "--any-data", *self.few())
        self.assertIn("train: done already", said)
        figures = json.loads((self.folder / "whole" / "figures.json").read_text())
        self.assertEqual(set(suite.KINDS) - figures["suite"].keys(), set())
        self.assertLess(figures["files"]["int8"]["off by, p99"], 0.002)
        manifest = json.loads((self.folder / "whole" / "judge" / "poq.json").read_text())
        self.assertEqual((manifest["cut"], manifest["max_tokens"]), (settings.CUT, 191))
        sizes = json.loads((self.folder / "whole" / "sizes.json").read_text())
        self.assertLessEqual(sizes["int8"], export.MOST_BYTES)
        self.agrees_with_pytorch()

    def agrees_with_pytorch(self):
        """The fp32 file gives the numbers of the network that was trained, up to the rounding of weights to 8 bits."""
        import train
        from network import Judge

        state = torch.load(self.folder / "whole" / "trained.pt", weights_only=True)
        model = Judge(state["words.weight"].shape[0], state["positions.weight"].shape[0]).eval()
        model.load_state_dict(state)
        made = rows()
        some = [made.pair(pair["question"], pair["worse"]) for pair in suite.read()[::20]]
        with torch.no_grad():
            theirs = torch.cat([model(*train.padded([row], torch.device("cpu"))) for row in some]).numpy()
        ours = export.Session(self.folder / "whole" / "fp32").logits(some)
        self.assertLess(np.abs(ours - theirs).max(), 0.05)
        self.assertGreater(measure.correlation(ours, theirs), 0.99)

    def test_mistakes_are_said(self):
        self.assertIn("--any-data", self.judge("wrong", "prepare", fails=True))
        self.assertIn("`prepare` makes it", self.judge("wrong", "train", fails=True))
        self.assertIn("NAME=NUMBER", self.judge("wrong", "train", "--set=colour=1", fails=True))
        self.assertIn("four numbers", self.judge("wrong", "train", "--cut=1,2,3", fails=True))
        self.assertIn("512", self.judge("wrong", "train", "--cut=100,100,200,200", fails=True))
        self.judge("wrong", "prepare", "--any-data")
        self.assertIn("`export` makes it", self.judge("wrong", "calibrate", fails=True))


if __name__ == "__main__":
    unittest.main()
