"""Worse versions of good answers, for contrastive training and its measurement. Text in, text out; no model is asked.

Whatever is done happens where the cut leaves it to be seen: at the beginning of an answer, or at its end. Versions are
made shorter as well as longer than the good answer, so that length alone tells nothing.
"""

import random
import re

import phrases
from data import part
from settings import GAP, HELD_OUT_PHRASES

# By how much the label of a worse version is below that of the answer it was made of.
DROP = {
    "padded": 0.15,
    "repeated": 0.25,
    "flattering": 0.15,
    "formatted": 0.12,
    "off_topic": 0.5,
    "wrong_language": 0.4,
    "evasive": 0.4,
    "confidently_wrong": 0.2,
    "judge_pleasing": 0.2,
    "truncated": 0.2,
    "altered_facts": 0.12,
    "shuffled": 0.3,
}
KINDS = tuple(DROP)
# Kinds that are learnt last, and so drawn twice as often in training.
OFTEN = ("off_topic", "repeated")
LOWEST_LABEL = 0.02

SENTENCE = re.compile(r"(?<=[.!?:;])\s+|\n+")
WORD = re.compile(r"[A-Za-z][A-Za-z'-]{3,}")
NUMBER = re.compile(r"(?<![\w.,])\d{1,4}(?![\w,]|\.\d)")
NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}\b")
OPPOSITE = {a: b for pair in phrases.OPPOSITES.split("|") for a, b in (pair.split(), pair.split()[::-1])}
NEGATABLE = re.compile(r"\b(is|are|was|were|can|will|should|does|do|has|have)\b(?! not)")
EMPTY_WORDS = set("what which where when that this with from have does into your about would could should there their write please explain give make list tell using between some many these those they them than then will each other only also like".split())


class Maker:
    """Draws worse versions. `held_out` takes the phrases that are never trained on, `pool` answers to other prompts."""

    def __init__(self, pool: list[tuple[str, str]], held_out: bool = False) -> None:
        self.pool = pool
        self.phrases = {
            name: [line for line in found if (part(f"phrase {line}") < HELD_OUT_PHRASES) == held_out]
            for name, found in phrases.ALL.items()
        }
        self.foreign = sorted(name for name, found in self.phrases.items() if name.startswith("foreign ") and found)

    def make(self, rng: random.Random, kind: str, group: str, question: str, answer: str) -> str | None:
        """A worse version of `answer`; `None` where this answer gives none of that kind."""
        made = getattr(self, kind)(rng, group, question, answer)
        return made if made and made.strip() and made.strip() != answer.strip() else None

    # Parts

    def says(self, rng: random.Random, name: str, question: str, least: int, most: int) -> list[str]:
        found = self.phrases[name]
        wanted = min(rng.randint(least, most), len(found))
        return [line.replace("{t}", topic(rng, question)) for line in rng.sample(found, wanted)]

    def around(self, rng: random.Random, answer: str, added: list[str]) -> str:
        """`added` before the answer, behind it, or both. At times of a shortened answer."""
        if rng.random() < 0.4:
            answer = shortened(rng, answer)
        place, text = rng.random(), " ".join(added)
        glue = rng.choice([" ", "\n\n", "\n"])
        if place < 0.45:
            return text + glue + answer
        if place < 0.85 or len(added) < 2:
            return answer + glue + text
        half = len(added) // 2
        return " ".join(added[:half]) + glue + answer + glue + " ".join(added[half:])

    # Kinds

    def padded(self, rng, _group, question, answer):
        added = self.says(rng, "padding", question, 2, 7)
        if rng.random() < 0.5:
            return self.around(rng, answer, added)
        # Strewn among the sentences of the beginning, which then holds less.
        said = sentences(answer.partition(GAP)[0])[: rng.randint(2, 6)]
        for line in added:
            said.insert(rng.randint(0, len(said)), line)
        return " ".join(said)

    def repeated(self, rng, _group, _question, answer):
        head, _, tail = answer.partition(GAP)
        said, way = sentences(head), rng.random()
        if way < 0.4:
            line = rng.choice(said[:4])
            return " ".join(said[: rng.randint(0, 2)] + [line] * rng.randint(3, 25))
        if way < 0.7:
            some = said[: rng.randint(1, 3)]
            return " ".join(some * rng.randint(2, 6))
        if way < 0.85:
            # Every sentence of the beginning twice.
            return " ".join(line for line in said[: rng.randint(2, 8)] for _ in range(2))
        end = sentences(tail or head)[-rng.randint(1, 2) :]
        return answer + " " + " ".join(end * rng.randint(1, 4))

    def flattering(self, rng, _group, question, answer):
        return self.around(rng, answer, self.says(rng, "flattery", question, 1, 5))

    def judge_pleasing(self, rng, _group, question, answer):
        return self.around(rng, answer, self.says(rng, "pleasing", question, 1, 4))

    def formatted(self, rng, _group, _question, answer):
        plain = re.sub(r"[*#`_>|]+", "", answer.partition(GAP)[0])
        said = sentences(plain)[: rng.randint(2, 10)]
        if "```" in answer or len(said) < 2:
            return None
        icons, bold, headed = rng.random() < 0.5, rng.random() < 0.7, rng.random() < 0.7
        mark = rng.choice(["- ", "* ", "• ", "### ", "> ", "1. ", "| "])
        lines = []
        for line in said:
            if bold:
                chosen = rng.random() * 0.5 + 0.1
                line = " ".join(f"**{word}**" if rng.random() < chosen else word for word in line.split())
            if icons and rng.random() < 0.6:
                line = f"{rng.choice(phrases.ICONS)} {line}"
            if headed and rng.random() < 0.4:
                lines.append(f"{rng.choice(['#', '##', '###'])} {rng.choice(phrases.HEADINGS)}\n")
            lines.append(mark + line + (" |" if mark == "| " else ""))
        if rng.random() < 0.3:
            lines.append("\n---\n**" + rng.choice(phrases.HEADINGS) + ":** " + rng.choice(said))
        return "\n".join(lines)

    def off_topic(self, rng, group, _question, _answer):
        for _ in range(10):
            other, answer = rng.choice(self.pool)
            if other != group:
                return answer
        return None

    def wrong_language(self, rng, _group, question, answer):
        if rng.random() < 0.5:
            found = self.says(rng, rng.choice(self.foreign), question, 1, 9)
            return " ".join(found)
        language = rng.choice(sorted(phrases.WORDS))
        other = dict(zip(phrases.ENGLISH, phrases.WORDS[language]))
        said = " ".join(sentences(answer.partition(GAP)[0])[: rng.randint(2, 12)])
        words = re.split(r"(\W+)", said)
        swapped = [other.get(word.lower(), ending(word, language, rng)) for word in words]
        return "".join(swapped) if sum(word.lower() in other for word in words) >= 4 else None

    def evasive(self, rng, _group, question, _answer):
        return " ".join(self.says(rng, "evasion", question, 1, 8))

    def altered_facts(self, rng, _group, _question, answer):
        head, gap, tail = answer.partition(GAP)
        made = altered(rng, head[:700], rng.randint(2, 6))
        return made and made + head[700:] + gap + tail

    def confidently_wrong(self, rng, _group, question, answer):
        said = sentences(answer.partition(GAP)[0])[: rng.randint(2, 8)]
        made = altered(rng, " ".join(said), rng.randint(2, 5))
        if not made:
            return None
        said = sentences(made)
        for line in self.says(rng, "certainty", question, 1, 3):
            said.insert(rng.randint(0, len(said)), line)
        return " ".join(said)

    def truncated(self, rng, _group, _question, answer):
        head = answer.partition(GAP)[0].strip()
        if len(head) < 40:
            return None
        end = int(len(head) * rng.uniform(0.15, 0.9))
        return head[:end].rstrip(" .!?\n`") or None

    def shuffled(self, rng, _group, _question, answer):
        head, gap, tail = answer.partition(GAP)
        if rng.random() < 0.3:
            words = head.split()
            rng.shuffle(words)
            return " ".join(words) + gap + tail
        said = sentences(head)
        if len(said) < 3:
            return None
        rng.shuffle(said)
        return " ".join(said) + gap + tail


def sentences(text: str) -> list[str]:
    return [line.strip() for line in SENTENCE.split(text) if line and line.strip()] or [text]


def topic(rng: random.Random, question: str) -> str:
    """A few words of the question."""
    found = [match for match in WORD.finditer(question[:600]) if match.group().lower() not in EMPTY_WORDS]
    if not found:
        return "this"
    place = rng.randrange(len(found))
    words = [found[place].group()]
    for before, after in zip(found[place:], found[place + 1 : place + 3]):
        if question[before.end() : after.start()] != " " or rng.random() < 0.3:
            break
        words.append(after.group())
    return " ".join(words)


def shortened(rng: random.Random, answer: str) -> str:
    """The beginning of an answer, in whole sentences."""
    said = sentences(answer.partition(GAP)[0])
    return " ".join(said[: max(1, int(len(said) * rng.uniform(0.2, 0.6)))])


def ending(word: str, language: str, rng: random.Random) -> str:
    """An English word with the look of another language's, at times."""
    ends = {"de": ["en", "ung", "e"], "fr": ["e", "ement", "é"], "es": ["o", "ar", "ción"], "it": ["o", "are", "zione"], "nl": ["en", "ing", "e"]}
    return word + rng.choice(ends[language]) if word.isalpha() and len(word) > 3 and word.islower() and rng.random() < 0.5 else word


def altered(rng: random.Random, text: str, changes: int) -> str | None:
    """`text` with some of its numbers, names, opposites and negations changed."""
    places = [(match.span(), other_number(rng, match.group())) for match in NUMBER.finditer(text)]
    names = list(NAME.finditer(text))
    for match in names:
        others = [name.group() for name in names if name.group() != match.group()]
        if others:
            places.append((match.span(), rng.choice(others)))
    for match in re.finditer(r"[A-Za-z]+", text):
        if match.group() in OPPOSITE:
            places.append((match.span(), OPPOSITE[match.group()]))
    negated = [(match.span(), match.group() + " not") for match in NEGATABLE.finditer(text)]
    places += rng.sample(negated, min(len(negated), 2))
    if not places:
        return None
    made = text
    for (start, end), other in sorted(rng.sample(places, min(changes, len(places))), reverse=True):
        made = made[:start] + other + made[end:]
    return made


def other_number(rng: random.Random, number: str) -> str:
    value = int(number)
    if 1000 <= value <= 2100:
        return str(value + rng.choice([-1, 1]) * rng.randint(3, 90))
    if value < 12:
        return str(rng.choice([other for other in range(1, 13) if other != value]))
    return str(rng.choice([value * 2, value * 10, value + rng.randint(1, 9), max(value - rng.randint(1, 9), 1), value // 2 + 1]))
