"""The pairs of texts on which engine and sentence-transformers have to agree: data only."""

RIVER = """The river rises in the hills above the village, where three springs meet under an old beech, and for its first miles it is
little more than a ditch that sheep step over. Below the mill it takes in the brook from the quarry, turns brown with clay, and runs between
banks that the monks raised eight hundred years ago to keep their meadows dry. The town grew where the road crosses it: first a ford, then a
wooden bridge that burned twice, and at last the stone one with five arches which lorries still use. Downstream of the town the valley opens.
Here the river wanders, leaves old beds behind as ponds, and floods every second winter, which is why the farms stand on mounds and why the
railway, which had to be level, was laid along the hillside at great cost. Dredging was tried after the flood of 1953 and given up, since the
channel filled again within three years. Today the water board pays farmers to let the lowest fields go under, and the floods in the town have
become rarer, though nobody can say how much of that is due to the fields and how much to a run of dry winters."""

BREAD = """To bake a plain loaf you need flour, water, salt and yeast, and above all time. Mix five hundred grams of flour with three
hundred and thirty of lukewarm water, ten of salt and three of dry yeast; stir until no dry flour is left and let it rest for half an hour, for
in that time the flour takes up the water and the dough becomes half as hard to work. Knead it for ten minutes, or fold it four times at
intervals of half an hour, which does the same with less effort. It has to double, which takes an hour in a warm kitchen and all night in a
cold one; slow dough tastes better. Shape it without pressing out the gas, let it rise again until a dent made with a finger fills only slowly,
and cut the top so that it can open. The oven should be as hot as it will go, with a tray of water on its floor for the first ten minutes, since
steam keeps the crust soft while the loaf still grows. After thirty-five minutes knock on the bottom: a hollow sound means that it is done."""

PAIRS = [
    # Questions and answers, right, wrong and beside the point.
    ("What is the capital of France?", "The capital of France is Paris."),
    ("What is the capital of France?", "The capital of France is Lyon."),
    ("What is the capital of France?", "Bananas are rich in potassium."),
    ("How do I boil an egg?", "Put it into boiling water for six minutes, then cool it under the tap."),
    ("How do I boil an egg?", "Eggs are laid by hens, ducks, geese and quails."),
    ("Why is the sky blue?", "Air scatters short wavelengths of sunlight more strongly than long ones."),
    ("Why is the sky blue?", "Because it reflects the ocean."),
    ("Who wrote Hamlet?", "Shakespeare"),
    ("Who wrote Hamlet?", "It was written by William Shakespeare around 1600."),
    ("What is 17 times 23?", "17 × 23 = 391"),
    ("What is 17 times 23?", "17 × 23 = 381"),
    ("Explain recursion.", "A function that calls itself on a smaller part of the problem until that part is trivial."),
    ("How do I reverse a list in Python?", "Use `list(reversed(xs))` or the slice `xs[::-1]`; `xs.reverse()` works in place."),
    ("Is it safe to eat raw chicken?", "No. Raw chicken may carry salmonella; cook it to 74 °C throughout."),
    ("The cat sat on the mat.", "The cat sat on the mat."),
    ("THE CAT SAT ON THE MAT", "the cat sat on the mat"),
    ("A man is playing a guitar.", "Someone plays an instrument."),
    ("I love this film.", "I hate this film."),
    # Longer than the window of 256 tokens.
    ("Where does the river flood, and what is done about it?", RIVER),
    ("How long does bread have to bake?", BREAD),
    (RIVER, BREAD),
    (RIVER + " " + BREAD, RIVER),
    ("word " * 254, "word " * 255),
    ("word " * 253, "word " * 600),
    ("a" * 99 + " " + "b" * 101, "x" * 5000),
    # Next to nothing, or nothing.
    ("", ""),
    ("", "Is anybody there?"),
    ("   \n\t ", ""),
    ("a", "b"),
    ("?!…", ".,;:—()[]{}<>/\\|@#$%^&*~`'\""),
    # Other scripts.
    ("水在多少度沸腾？", "水在一百摄氏度沸腾。"),
    ("法国的首都是哪里？", "The capital of France is Paris."),
    ("ما هي عاصمة فرنسا؟", "عاصمة فرنسا هي باريس."),
    ("भारत की राजधानी क्या है?", "भारत की राजधानी नई दिल्ली है।"),
    ("Какая столица Франции?", "Столица Франции — Париж."),
    ("東京はどこですか？", "서울은 한국의 수도입니다."),
    ("Où est la bibliothèque ? Ça va, naïve façade, Straße, Ærø, İstanbul", "cafe\u0301 na\u0308ive ﬁne Ⅷ ½ ① ＡＢＣ"),
    # Emoji, control characters, and what hides in texts.
    ("How are you? 😀", "Great 👍🏽🎉 👩‍👩‍👧‍👦 🇫🇷 ❤️"),
    ("null\u0000byte bell\u0007 escape\u001b[31mred\u001b[0m", "null byte bell escape red"),
    ("zero\u200bwidth\u200djoiner\ufeffmark soft\u00adhyphen", "non\u00a0breaking\u3000space\u2028line\u2029paragraph\u0085next"),
    ("right\u202eto left\u202c", "replacement \ufffd private \ue000 noncharacter \uffff astral \U000e0041"),
    ("tab\tand\r\nnew line", "tab and new line"),
]
