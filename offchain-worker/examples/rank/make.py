"""Writes the example of `poq-worker rank`: six made-up models that know a part of the facts of models/questions.json.

    python3 offchain-worker/examples/rank/make.py

A model that knows 18 of 24 gives the answer to another question in the place of the other six. The leaderboard has the number of right
answers. All texts are made by this project and are in the public domain.
"""

import json
import pathlib

FOLDER = pathlib.Path(__file__).resolve().parent
QUESTIONS = json.loads((FOLDER.parents[2] / "models" / "questions.json").read_text())[:24]
RIGHT = {"all": 24, "most": 20, "many": 16, "half": 12, "few": 6, "none": 0}


def answer(place: int, right: int) -> str:
    # Spread over the questions, the same ones for every model that knows more.
    knows = place * 7 % len(QUESTIONS) < right
    return QUESTIONS[place if knows else (place + 9) % len(QUESTIONS)]["answer"]


def main() -> None:
    (FOLDER / "outputs").mkdir(exist_ok=True)
    for name, right in RIGHT.items():
        lines = [{"question": item["question"], "answer": answer(place, right)} for place, item in enumerate(QUESTIONS)]
        (FOLDER / "outputs" / f"knows-{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    board = [{"model": f"knows-{name}", "value": right} for name, right in RIGHT.items()]
    (FOLDER / "leaderboard.jsonl").write_text("".join(json.dumps(line) + "\n" for line in board))


if __name__ == "__main__":
    main()
