"""The demo world: facts, phrasings, which of them are held out from training, and questions drawn from them.

Everything comes from one seed. A phrasing is a template such as "Do you know what {s}'s capital is?". Held out are
  ask     whole questions of one relation whose wording is never trained
  frame   frames that are never trained with any noun phrase
  combo   frames and noun phrases that are both trained, but never together
A held-out phrasing is never trained with any fact; every fact is trained with the other phrasings.
"""
import random
import re
from dataclasses import dataclass

from facts import ARITHMETIC, FRAMES, PREFIXES, RELATIONS, SUFFIXES
from unknown import DONT_KNOW, KIND_OF, SUBJECTS, TEMPLATES

SEED = 20241117
ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
# Relations whose questions can be worded alike ("What comes after {s}?"): a subject of one is not unknown to the other.
ALIKE = [{"next_month", "next_day"}, {"previous_month", "previous_day"}]


def in_words(n):
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10 - 2] + (" " + ONES[n % 10] if n % 10 else "")
    return "one hundred" if n == 100 else str(n)


def capital(text):
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Fact:
    relation: str
    slots: tuple  # (("s", "Peru"),) or (("a", 7), ("b", 8))
    answer: str

    def sentence(self, answer=None):
        spec = RELATIONS.get(self.relation) or ARITHMETIC[self.relation]
        text = capital(spec["sentence"].format(o=self.answer if answer is None else answer, **dict(self.slots)))
        return re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)


@dataclass(frozen=True)
class Phrasing:
    template: str
    split: str  # "train", or why it is held out: "ask", "frame", "combo"


def all_facts():
    facts = [Fact(name, (("s", s),), o) for name, spec in RELATIONS.items() for s, o in spec["facts"]]
    for a in range(1, 11):
        for b in range(1, 11):
            facts.append(Fact("sum", (("a", a), ("b", b)), str(a + b)))
            facts.append(Fact("difference", (("a", a + b), ("b", b)), str(a)))
            facts.append(Fact("product", (("a", a), ("b", b)), str(a * b)))
    assert len({(f.relation, f.slots) for f in facts}) == len(facts), "a question with two answers"
    return facts


def mix(text, rng):
    """Case, end mark and spaces as people type them."""
    if rng.random() < 0.35:
        text = text.lower()
    elif rng.random() < 0.03:
        text = text.upper()
    if rng.random() < 0.3:
        text = text.rstrip("?.! ") or text
    elif rng.random() < 0.05 and text[-1:] in "?.":
        text = text[:-1] + " " + text[-1]
    return text


class World:
    def __init__(self, seed=SEED):
        self.seed = seed
        self.facts = all_facts()
        self.by_relation = {}
        for fact in self.facts:
            self.by_relation.setdefault(fact.relation, []).append(fact)
        self.objects = {r: sorted({f.answer for f in fs}) for r, fs in self.by_relation.items()}
        rng = random.Random(f"{seed} split")
        held_frames = set(rng.sample(FRAMES[1:], 5))
        self.phrasings = {}
        for name, spec in {**RELATIONS, **ARITHMETIC}.items():
            held_asks = set(rng.sample(spec["asks"], round(len(spec["asks"]) * 0.2)))
            phrasings = [Phrasing(a, "ask" if a in held_asks else "train") for a in spec["asks"]]
            for noun in spec["nouns"]:
                for frame in FRAMES:
                    template = frame.format(n=noun, N=capital(noun))
                    split = "frame" if frame in held_frames else "combo" if rng.random() < 0.2 else "train"
                    phrasings.append(Phrasing(template, split))
            # One wording can arise twice ("{a} + {b}" is an ask and a bare noun phrase): it is held out if either is.
            seen = {}
            for p in phrasings:
                key = p.template.lower().rstrip("?.! ")
                if key not in seen or seen[key].split == "train":
                    seen[key] = p
            self.phrasings[name] = list(seen.values())
        templates = [t for line in TEMPLATES.splitlines() for t in line.split("|")]
        held = set(rng.sample(templates, len(templates) // 4))
        self.unknown_templates = {False: [t for t in templates if t not in held], True: sorted(held)}
        self.unknown_subjects = {False: {}, True: {}}
        for kind, text in SUBJECTS.items():
            names = [n.strip() for n in text.split(";")]
            held = set(rng.sample(names, len(names) // 4))
            self.unknown_subjects[False][kind] = [n for n in names if n not in held]
            self.unknown_subjects[True][kind] = sorted(held)
        self.known = {(f.relation, v) for f in self.facts for k, v in f.slots if k == "s"}
        self.subjects = sorted({v for _, v in self.known})

    def phrasings_of(self, relation, held_out=False):
        return [p for p in self.phrasings[relation] if (p.split != "train") == held_out]

    def ask(self, fact, phrasing, rng, plain=False):
        """A question about the fact. `plain` leaves out greetings, thanks and typing habits."""
        slots = dict(fact.slots)
        if "a" in slots and rng.random() < 0.35:
            slots = {k: in_words(v) for k, v in slots.items()}
        text = phrasing.template.format(**slots)
        text = re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)
        return capital(text) if plain else self.dress(capital(text), rng)

    def dress(self, text, rng):
        roll = rng.random()
        if roll < 0.2:
            text = rng.choice(PREFIXES) + text
        elif roll < 0.3:
            text = (text if text[-1] in "?.!" else text + ".") + rng.choice(SUFFIXES)
        return mix(text, rng)

    def question(self, rng, held_out=False, fact=None, plain=False):
        fact = fact or rng.choice(self.facts)
        return fact, self.ask(fact, rng.choice(self.phrasings_of(fact.relation, held_out)), rng, plain)

    def unknown(self, rng, held_out=False):
        """A question that the world does not answer."""
        roll = rng.random()
        if roll < 0.45:  # a known way to ask, about something unknown
            relation = rng.choice(sorted(self.by_relation))
            template = rng.choice(self.phrasings_of(relation, held_out)).template
            if relation in ARITHMETIC:
                a, b = rng.randint(25, 999), rng.randint(25, 999)
                text = template.format(a=max(a, b), b=min(a, b))
            else:
                text = template.format(s=self.unknown_subject(relation, rng, held_out))
            text = re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", text)
        else:
            fill = lambda m: {"c": lambda: rng.choice(self.by_relation["capital"]).slots[0][1], "w": lambda: rng.choice(self.subjects),
                              "x": lambda: made_up(rng), "n": lambda: str(rng.randint(21, 2999)), "m": lambda: str(rng.randint(21, 999))}[m[1]]()
            text = re.sub(r"\{([cwxnm])\}", fill, rng.choice(self.unknown_templates[held_out])).replace("{{", "{").replace("}}", "}")
        return self.dress(capital(text), rng)

    def unknown_subject(self, relation, rng, held_out):
        roll = rng.random()
        if roll < 0.5:
            return rng.choice(self.unknown_subjects[held_out][KIND_OF[relation]])
        if roll < 0.75:
            return made_up(rng)
        alike = {relation}.union(*(g for g in ALIKE if relation in g))
        while True:
            subject = rng.choice(self.subjects)
            if not any((r, subject) in self.known for r in alike):
                return subject

    def wrong_answer(self, fact, rng):
        """Another object of the same relation; for numbers often a near miss."""
        if fact.answer.isdigit() and (fact.relation in ARITHMETIC or rng.random() < 0.3):
            n = int(fact.answer)
            slots = dict(fact.slots)
            options = [n + d for d in (-10, -3, -2, -1, 1, 2, 3, 10)] + [int(rng.choice(self.objects[fact.relation])) for _ in range(6)]
            if "a" in slots:
                options += [slots["a"] + slots["b"], slots["a"] - slots["b"], slots["a"] * slots["b"], int(str(n)[::-1])]
            return str(rng.choice([o for o in options if o >= 0 and o != n]))
        return rng.choice([o for o in self.objects[fact.relation] if o != fact.answer])

    def swapped(self, share, seed):
        """A world with `share` of each relation's facts made wrong: what the weak generator is taught."""
        rng = random.Random(f"{seed} swap")
        out = []
        for relation in sorted(self.by_relation):
            facts = self.by_relation[relation]
            wrong = set(rng.sample(range(len(facts)), round(len(facts) * share)))
            out += [Fact(f.relation, f.slots, self.wrong_answer(f, rng)) if i in wrong else f for i, f in enumerate(facts)]
        return out


def made_up(rng):
    """A word that no world knows."""
    word = "".join(rng.choice("b c d f g h j k l m n p r s t v w z br dr gl kr pl st tr".split()) + rng.choice("a e i o u ai ee ou".split())
                   for _ in range(rng.randint(1, 4))) + rng.choice(["", "", "n", "r", "s", "x", "land", "ton", "ium"])
    return capital(word) if rng.random() < 0.5 else word


def is_right(fact, text):
    """Strict: the whole sentence as taught, or the object alone; case and the final stop do not matter."""
    said = text.strip().rstrip(".").lower()
    return said in (fact.sentence().rstrip(".").lower(), fact.answer.lower())


def held_out_set(world, seed, per_fact=1):
    """Every fact, asked in held-out phrasings drawn at random: (fact, phrasing, question)."""
    rng = random.Random(f"{seed} held out")
    out = []
    for fact in world.facts:
        for phrasing in rng.sample(world.phrasings_of(fact.relation, held_out=True), per_fact):
            out.append((fact, phrasing, world.ask(fact, phrasing, rng)))
    return out


if __name__ == "__main__":
    world, rng = World(), random.Random(1)
    print(len(world.facts), "facts,", {r: (len(world.phrasings_of(r)), len(world.phrasings_of(r, True))) for r in world.phrasings})
    for _ in range(25):
        fact, question = world.question(rng, held_out=rng.random() < 0.5)
        print(repr(question), "->", fact.sentence(), "| wrong:", world.wrong_answer(fact, rng))
    for _ in range(25):
        print(repr(world.unknown(rng, held_out=rng.random() < 0.5)))
