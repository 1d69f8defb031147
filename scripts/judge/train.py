"""Training, in steps, with checkpoints from which it goes on to the same weights as if it had never been stopped."""

import dataclasses
import json
import os
import pathlib
import time

import torch
import torch.nn.functional as F

import data
import measure
from batches import Batches
from network import Judge
from settings import Schedule

# Rows that go through the network at once. Small enough for a processor's cache; a GPU takes a whole step.
AT_ONCE = 16


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def padded(rows: list[tuple[list[int], list[int]]], to: torch.device) -> tuple[torch.Tensor, ...]:
    lengths = torch.tensor([len(ids) for ids, _ in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    types = torch.zeros_like(ids)
    for place, (row, kinds) in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row)
        types[place, : len(row)] = torch.tensor(kinds)
    return ids.to(to), types.to(to), lengths.to(to)


def logits(model: Judge, rows: list, to: torch.device, at_once: int = AT_ONCE) -> torch.Tensor:
    """One number for each row. Rows of like length go together, so that little is padded."""
    order = sorted(range(len(rows)), key=lambda place: len(rows[place][0]))
    if to.type == "cuda":
        at_once = max(at_once, 256)
    made = []
    with torch.autocast(to.type, dtype=torch.bfloat16):
        for start in range(0, len(order), at_once):
            part = [rows[place] for place in order[start : start + at_once]]
            made.append(model(*padded(part, to)))
    back = torch.empty(len(order), dtype=torch.long)
    back[torch.tensor(order)] = torch.arange(len(order))
    return torch.cat(made)[back.to(to)]


def losses(numbers: torch.Tensor, batch: dict) -> dict[str, torch.Tensor]:
    """The pairs of a prompt, the labels themselves, and the worse versions against the answers that they were made of."""
    to = numbers.device
    labels = torch.tensor(batch["labels"], device=to)
    graded = torch.tensor(batch["graded"], device=to)
    found = {"label": F.binary_cross_entropy_with_logits(numbers[graded], labels[graded])} if batch["graded"] else {}
    if batch["pairs"]:
        left, right, weight = (torch.tensor(column, device=to) for column in zip(*batch["pairs"]))
        target = torch.sigmoid(14 * (labels[left] - labels[right]))
        loss = F.binary_cross_entropy_with_logits(2 * (numbers[left] - numbers[right]), target, reduction="none")
        found["pair"] = (loss * weight).sum() / weight.sum()
    if batch["made"]:
        good, worse, drop = (torch.tensor(column, device=to) for column in zip(*batch["made"]))
        found["made"] = F.binary_cross_entropy_with_logits(2 * (numbers[good] - numbers[worse]), torch.sigmoid(14 * drop))
    return found


def rate(step: int, schedule: Schedule) -> float:
    """Rises, stays, falls to nothing. As long as it stays, `steps` can be changed without losing anything."""
    falling = max(1, round(schedule.steps * schedule.fall))
    return min(1.0, (step + 1) / max(1, schedule.warm), max(0.0, (schedule.steps - step) / falling))


class Training:
    def __init__(self, items: list[dict], rows: data.Rows, weights: pathlib.Path, folder: pathlib.Path, schedule: Schedule) -> None:
        self.schedule, self.folder, self.rows = schedule, folder, rows
        self.checkpoint = folder / "checkpoint.pt"
        self.batches = Batches([item for item in items if item["split"] == "train"], rows, schedule)
        self.dev = measure.dev_items(items, schedule.dev_rows)
        self.to = device()
        torch.manual_seed(data.draw("head").getrandbits(32))
        self.model = Judge.of_base(weights, schedule.dropout).to(self.to)
        self.trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.mean = {name: p.detach().clone() for name, p in self.trained.items()}
        groups = []
        for head in (False, True):
            for matrix in (False, True):
                some = [p for name, p in self.trained.items() if name.startswith("head") == head and (p.dim() > 1) == matrix]
                base = schedule.head_rate if head else schedule.rate
                groups.append({"params": some, "lr": base, "base": base, "weight_decay": schedule.decay if matrix else 0.0})
        self.optimizer = torch.optim.AdamW(groups, fused=True)
        self.step = 0
        self.log: list[dict] = []

    # What the weights depend on besides the number of steps, which may be changed on the way.
    def settings(self) -> dict:
        kept = dataclasses.asdict(self.schedule)
        for name in ("steps", "save_every", "dev_every", "dev_rows", "fall"):
            del kept[name]
        return kept | {"cut": self.rows.cut}

    def save(self) -> None:
        state = {
            "step": self.step,
            "weights": {name: p.detach() for name, p in self.trained.items()},
            "mean": self.mean,
            "optimizer": self.optimizer.state_dict(),
            "log": self.log,
            "settings": self.settings(),
        }
        part = self.checkpoint.with_suffix(".part")
        with open(part, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.checkpoint)

    def resume(self) -> None:
        if not self.checkpoint.is_file():
            return
        state = torch.load(self.checkpoint, map_location=self.to, weights_only=True)
        if state["settings"] != self.settings():
            other = {name: value for name, value in state["settings"].items() if self.settings().get(name) != value}
            raise data.Wrong(
                f"{self.checkpoint} has other settings: {other}; go back to those, or name another folder with --work"
            )
        with torch.no_grad():
            for name, p in self.trained.items():
                p.copy_(state["weights"][name])
                self.mean[name].copy_(state["mean"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.log = state["step"], state["log"]

    def one_step(self) -> dict[str, float]:
        batch = self.batches.batch(self.step)
        # Dropout, too, depends on the step alone.
        torch.manual_seed(data.draw(f"dropout {self.step}").getrandbits(32))
        for group in self.optimizer.param_groups:
            group["lr"] = group["base"] * rate(self.step, self.schedule)
        found = losses(logits(self.model, batch["rows"], self.to), batch)
        self.optimizer.zero_grad(set_to_none=True)
        sum(found.values()).backward()
        torch.nn.utils.clip_grad_norm_(self.trained.values(), 1.0)
        self.optimizer.step()
        self.step += 1
        keep = min(self.schedule.mean, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.mean.values()), list(self.trained.values()), 1 - keep)
        return {name: loss.item() for name, loss in found.items()} | {"rows": len(batch["rows"])}

    def averaged(self) -> Judge:
        """The network with the running mean of the weights, for measuring."""
        model = Judge(self.model.words.num_embeddings, self.model.positions.num_embeddings).to(self.to)
        model.load_state_dict(self.model.state_dict() | self.mean)
        return model.eval()

    def measured(self) -> dict:
        model = self.averaged()
        rows = [self.rows.pair(item["question"], item["answer"]) for item in self.dev]
        with torch.no_grad():
            scores = logits(model, rows, self.to, 64).float().cpu().tolist()
        return measure.short(self.dev, scores)

    def run(self) -> None:
        self.resume()
        schedule, started, begun, shown = self.schedule, time.monotonic(), self.step, []
        print(f"train: {len(self.batches.items)} answers to {len(self.batches.prompts)} prompts, "
              f"{len(self.batches.one_pass(0))} steps a pass, on {self.to}; step {self.step} of {schedule.steps}")
        self.model.train()
        while self.step < schedule.steps:
            shown.append(self.one_step())
            last = self.step == schedule.steps
            if self.step % 10 == 0 or last:
                spent = time.monotonic() - started
                left = spent / (self.step - begun) * (schedule.steps - self.step)
                means = {name: sum(found.get(name, 0) for found in shown) / len(shown) for name in shown[-1]}
                print(f"step {self.step}/{schedule.steps}  " + "  ".join(f"{name} {value:.3f}" for name, value in means.items())
                      + f"  {spent / (self.step - begun):.2f} s a step, {left / 60:.0f} min left")
                shown = []
            if self.step % schedule.dev_every == 0 or last:
                self.log.append({"step": self.step} | self.measured())
                data.write(self.folder / "dev.jsonl", "".join(json.dumps(line) + "\n" for line in self.log))
                print("dev: " + json.dumps(self.log[-1]))
            if self.step % schedule.save_every == 0 or last:
                self.save()
        torch.save(self.averaged().cpu().state_dict(), self.folder / "trained.part")
        (self.folder / "trained.part").replace(self.folder / "trained.pt")
