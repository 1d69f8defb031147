"""Writes the pairs that the comparison benches score: the same for every program, and on every run.

    python pairs.py TARGET

TARGET gets pairs-256.jsonl (256 pairs of 16 to 512 tokens, most of them short), pair-512.jsonl (one pair of exactly 512),
and NxM.jsonl: N pairs of exactly M tokens. A line is {"question": …, "answer": …, "tokens": …}; tokens counts [CLS] and both [SEP]. Every word below is one
token of BERT's uncased vocabulary, so lengths are known without a tokenizer; `score.py` checks them with one.
"""

import json
import pathlib
import random
import sys

SEED = 20241117
PAIRS = 256
SHORTEST, LONGEST = 16, 512
SPECIAL_TOKENS = 3
QUESTION = 10
# Answers of language models: half below 100 tokens, a tail of long ones.
MEDIAN, SPREAD = 4.6, 0.9
# Of the files of pairs of one length; the engine's bench knows them, too.
COUNTS, LENGTHS = (1, 8, 32), (64, 128, 256, 512)

WORDS = """the of and to in is that it was for on are as with they be at one have this from by hot but some what there we can out
other were all your when up use word how said each she which do their time if will way about many then them would write like so
these her long make thing see him two has look more day could go come did my sound no most number who over know water than call
first people may down side been now find any new work part take get place made live where after back little only round man year
came show every good me give our under name very through just form great think say help low line before turn cause same mean
differ move right boy old too does tell set three want air well also play small end put home read hand port large spell add even
land here must big high such follow act why ask men change went light kind off need house picture try us again animal point
mother world near build self earth father head stand own page should country found answer school grow study still learn plant
cover food sun four thought let keep eye never last door between city tree cross since hard start might story saw far sea draw
left late run while press close night real life few stop open seem together next white children begin got walk example ease paper
often always music those both mark book letter until mile river car feet care second group carry took rain eat room friend began
idea fish mountain north once base hear horse cut sure watch color face wood main""".split()


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(count))


def pair(rng: random.Random, question: str, tokens: int) -> dict:
    """A pair of `tokens` tokens. All pairs have one question, as the answers that are ranked together do."""
    room = tokens - SPECIAL_TOKENS - len(question.split())
    return {"question": question, "answer": words(rng, room), "tokens": tokens}


def write(path: pathlib.Path, pairs: list[dict]) -> None:
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    print(f"{path}: {len(pairs)} pairs, {sum(pair['tokens'] for pair in pairs)} tokens")


def main() -> None:
    target = pathlib.Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    rng = random.Random(SEED)
    question = words(rng, QUESTION)
    lengths = [round(rng.lognormvariate(MEDIAN, SPREAD)) for _ in range(PAIRS)]
    write(target / "pairs-256.jsonl", [pair(rng, question, max(SHORTEST, min(LONGEST, length))) for length in lengths])
    write(target / "pair-512.jsonl", [pair(rng, question, LONGEST)])
    for count in COUNTS:
        for tokens in LENGTHS:
            write(target / f"{count}x{tokens}.jsonl", [pair(rng, question, tokens) for _ in range(count)])


if __name__ == "__main__":
    main()
