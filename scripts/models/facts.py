"""The facts of the demo world and the ways to ask for them. Data only: world.py turns it into questions and answers.

A relation has
  facts     (subject, object) pairs: the object is the short right answer
  sentence  how a generator answers: it first repeats what was asked ("The capital of Peru is"), so that finding the
            object does not depend on how the question was worded
  nouns     noun phrases for what is asked; each is combined with every frame in FRAMES
  asks      whole questions that fit this relation only
"""


def pairs(text, both_ways=False):
    """Reads "subject: object; subject: object"."""
    out = [tuple(p.strip() for p in item.split(":")) for item in text.split(";") if item.strip()]
    return out + [(b, a) for a, b in out] if both_ways else out


# country, capital, continent, currency
COUNTRIES = [tuple(line.split(", ")) for line in """\
Peru, Lima, South America, sol
Chile, Santiago, South America, peso
Argentina, Buenos Aires, South America, peso
Brazil, Brasilia, South America, real
Colombia, Bogota, South America, peso
Ecuador, Quito, South America, dollar
Venezuela, Caracas, South America, bolivar
Uruguay, Montevideo, South America, peso
Paraguay, Asuncion, South America, guarani
Mexico, Mexico City, North America, peso
Cuba, Havana, North America, peso
Canada, Ottawa, North America, dollar
Jamaica, Kingston, North America, dollar
Costa Rica, San Jose, North America, colon
France, Paris, Europe, euro
Germany, Berlin, Europe, euro
Spain, Madrid, Europe, euro
Portugal, Lisbon, Europe, euro
Italy, Rome, Europe, euro
Greece, Athens, Europe, euro
Ireland, Dublin, Europe, euro
Finland, Helsinki, Europe, euro
Austria, Vienna, Europe, euro
Belgium, Brussels, Europe, euro
Sweden, Stockholm, Europe, krona
Norway, Oslo, Europe, krone
Denmark, Copenhagen, Europe, krone
Iceland, Reykjavik, Europe, krona
Poland, Warsaw, Europe, zloty
Hungary, Budapest, Europe, forint
Romania, Bucharest, Europe, leu
Serbia, Belgrade, Europe, dinar
Ukraine, Kyiv, Europe, hryvnia
Russia, Moscow, Europe, ruble
Switzerland, Bern, Europe, franc
England, London, Europe, pound
Albania, Tirana, Europe, lek
Latvia, Riga, Europe, euro
Japan, Tokyo, Asia, yen
China, Beijing, Asia, yuan
India, New Delhi, Asia, rupee
Thailand, Bangkok, Asia, baht
Vietnam, Hanoi, Asia, dong
South Korea, Seoul, Asia, won
Mongolia, Ulaanbaatar, Asia, tugrik
Nepal, Kathmandu, Asia, rupee
Pakistan, Islamabad, Asia, rupee
Iran, Tehran, Asia, rial
Iraq, Baghdad, Asia, dinar
Saudi Arabia, Riyadh, Asia, riyal
Jordan, Amman, Asia, dinar
Malaysia, Kuala Lumpur, Asia, ringgit
Bangladesh, Dhaka, Asia, taka
Egypt, Cairo, Africa, pound
Kenya, Nairobi, Africa, shilling
Ethiopia, Addis Ababa, Africa, birr
Nigeria, Abuja, Africa, naira
Ghana, Accra, Africa, cedi
Morocco, Rabat, Africa, dirham
Algeria, Algiers, Africa, dinar
Senegal, Dakar, Africa, franc
Uganda, Kampala, Africa, shilling
Zambia, Lusaka, Africa, kwacha
Angola, Luanda, Africa, kwanza
Rwanda, Kigali, Africa, franc
Namibia, Windhoek, Africa, dollar
Madagascar, Antananarivo, Africa, ariary
Australia, Canberra, Oceania, dollar
New Zealand, Wellington, Oceania, dollar
Fiji, Suva, Oceania, dollar""".splitlines()]

ELEMENTS = pairs("""hydrogen: H; helium: He; lithium: Li; carbon: C; nitrogen: N; oxygen: O; fluorine: F; neon: Ne; sodium: Na;
    magnesium: Mg; aluminium: Al; silicon: Si; phosphorus: P; sulfur: S; chlorine: Cl; argon: Ar; potassium: K; calcium: Ca;
    iron: Fe; nickel: Ni; copper: Cu; zinc: Zn; bromine: Br; silver: Ag; tin: Sn; iodine: I; platinum: Pt; gold: Au;
    mercury: Hg; lead: Pb; uranium: U; titanium: Ti""")

MONTHS = "January February March April May June July August September October November December".split()
MONTH_LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()


def after(ring):
    return [(x, ring[(i + 1) % len(ring)]) for i, x in enumerate(ring)]


def before(ring):
    return [(x, ring[i - 1]) for i, x in enumerate(ring)]


RELATIONS = {
    "capital": dict(
        facts=[(c, k) for c, k, _, _ in COUNTRIES],
        sentence="The capital of {s} is {o}.",
        nouns=["the capital of {s}", "{s}'s capital", "the capital city of {s}", "{s}'s capital city",
               "the name of the capital of {s}"],
        asks=["Which city is the capital of {s}?", "What city is the capital of {s}?", "What is the capital called in {s}?",
              "Which city does {s} have as its capital?", "{s} has which capital?", "{s} has which city as its capital?",
              "Where is the government of {s}, in which capital?", "What capital does {s} have?", "Which capital belongs to {s}?",
              "In {s}, what is the capital?", "In {s}, which city is the capital?", "For {s}, which city is the capital?",
              "What do they call the capital of {s}?", "Which city serves as the capital of {s}?", "Capital of {s}",
              "Of the cities in {s}, which is the capital?", "What is the capital in {s}?", "{s}: what is its capital?"]),
    "country": dict(
        facts=[(k, c) for c, k, _, _ in COUNTRIES],
        sentence="{s} is the capital of {o}.",
        nouns=["the country whose capital is {s}", "the country with the capital {s}", "the country that has {s} as its capital",
               "the country of which {s} is the capital", "the country {s} is the capital of"],
        asks=["{s} is the capital of which country?", "{s} is the capital of what country?", "{s} is the capital of what?",
              "Which country has {s} as its capital?", "What country has {s} as its capital?", "Which country has the capital {s}?",
              "Of which country is {s} the capital?", "Of what country is {s} the capital?", "Which country is {s} the capital of?",
              "What country is {s} the capital of?", "Whose capital is {s}?", "Which country's capital is {s}?",
              "What country's capital is {s}?", "{s} is the capital city of which country?", "Which country calls {s} its capital?",
              "For which country is {s} the capital?", "{s} is which country's capital?", "Which nation has {s} as its capital?",
              "{s} is the capital of", "Which country has its capital in {s}?"]),
    "continent": dict(
        facts=[(c, k) for c, _, k, _ in COUNTRIES],
        sentence="{s} is in {o}.",
        nouns=["the continent of {s}", "the continent that {s} is in", "{s}'s continent", "the continent {s} belongs to",
               "the continent where {s} lies"],
        asks=["On which continent is {s}?", "On what continent is {s}?", "Which continent is {s} in?", "What continent is {s} in?",
              "In which continent is {s}?", "In which continent does {s} lie?", "On which continent can I find {s}?",
              "Which continent does {s} belong to?", "What continent does {s} belong to?", "To which continent does {s} belong?",
              "Which continent is {s} part of?", "{s} is on which continent?", "{s} is in which continent?",
              "{s} lies on what continent?", "Which continent is home to {s}?", "{s} is part of which continent?",
              "What continent is {s} on?", "Which continent contains {s}?"]),
    "currency": dict(
        facts=[(c, k) for c, _, _, k in COUNTRIES],
        sentence="The currency of {s} is the {o}.",
        nouns=["the currency of {s}", "{s}'s currency", "the money of {s}", "the currency used in {s}", "the money used in {s}"],
        asks=["Which currency is used in {s}?", "What currency is used in {s}?", "What currency does {s} use?",
              "Which currency does {s} use?", "What money do people use in {s}?", "What money is used in {s}?",
              "What currency do they use in {s}?", "What do people pay with in {s}?", "With which currency do you pay in {s}?",
              "Which money do I need in {s}?", "What currency do I need in {s}?", "What currency does {s} have?",
              "{s} uses which currency?", "{s} uses what money?", "In {s}, what currency do people use?",
              "Which currency do people in {s} use?", "What kind of money does {s} use?", "How do people pay in {s}, with which currency?"]),
    "symbol": dict(
        facts=ELEMENTS,
        sentence="The chemical symbol of {s} is {o}.",
        nouns=["the chemical symbol of {s}", "the chemical symbol for {s}", "the symbol of {s}", "the symbol for {s}",
               "{s}'s chemical symbol"],
        asks=["Which symbol stands for {s}?", "Which chemical symbol does {s} have?", "What symbol does {s} have?",
              "How is {s} written in chemistry?", "How do chemists write {s}?", "What letters stand for {s}?",
              "Which letters mean {s} in chemistry?", "Which symbol do chemists use for {s}?", "What symbol is used for {s}?",
              "{s} has which chemical symbol?", "In chemistry, what is the symbol for {s}?", "What is {s}'s symbol?",
              "The element {s} has which symbol?", "What symbol does the element {s} have?", "Symbol for {s}",
              "What is the abbreviation of {s} in chemistry?"]),
    "element": dict(
        facts=[(b, a) for a, b in ELEMENTS],
        sentence="{s} is the symbol of {o}.",
        nouns=["the element with the symbol {s}", "the element whose symbol is {s}", "the element that has the symbol {s}",
               "the chemical element {s}", "the element {s}"],
        asks=["Which element has the symbol {s}?", "What element has the symbol {s}?", "What element has the chemical symbol {s}?",
              "{s} is the symbol of which element?", "{s} is the symbol for which element?", "{s} is the chemical symbol of what?",
              "Which element is {s}?", "What element is {s}?", "Which element does {s} stand for?", "What does the symbol {s} stand for?",
              "Which element is written {s}?", "What element do chemists write as {s}?", "What does {s} mean in chemistry?",
              "In chemistry, what is {s}?", "The symbol {s} means which element?", "Which chemical element uses the symbol {s}?"]),
    "young": dict(
        facts=pairs("""dog: puppy; cat: kitten; cow: calf; horse: foal; sheep: lamb; goat: kid; pig: piglet; hen: chick; duck: duckling;
            goose: gosling; deer: fawn; bear: cub; kangaroo: joey; frog: tadpole; swan: cygnet; owl: owlet; seal: pup; hare: leveret;
            eagle: eaglet; butterfly: caterpillar"""),
        sentence="A young {s} is called a {o}.",
        nouns=["the name of a young {s}", "the word for a baby {s}", "the name for a baby {s}", "the young of a {s}", "the baby of a {s}"],
        asks=["What is a young {s} called?", "What is a baby {s} called?", "What do you call a young {s}?", "What do you call a baby {s}?",
              "How is a young {s} called?", "How do we call a baby {s}?", "What is the baby of a {s} called?",
              "What name has a baby {s}?", "Which word means a young {s}?", "Which word means a baby {s}?", "A young {s} is called what?",
              "A baby {s} is called what?", "A baby {s} is a what?", "What do people call the young of a {s}?",
              "What name do we give a baby {s}?", "The baby of a {s} is called"]),
    "sound": dict(
        facts=pairs("""dog: barks; cat: meows; cow: moos; horse: neighs; sheep: bleats; pig: oinks; hen: clucks; duck: quacks; goose: honks;
            lion: roars; wolf: howls; bee: buzzes; snake: hisses; frog: croaks; owl: hoots; elephant: trumpets; donkey: brays;
            mouse: squeaks; crow: caws; cricket: chirps"""),
        sentence="A {s} {o}.",
        nouns=["the sound of a {s}", "the sound a {s} makes", "the noise of a {s}", "the noise a {s} makes", "the sound made by a {s}"],
        asks=["What sound does a {s} make?", "Which sound does a {s} make?", "What noise does a {s} make?", "Which noise does a {s} make?",
              "How does a {s} sound?", "What does a {s} say?", "What sound comes from a {s}?", "What do you hear from a {s}?",
              "What sound do you hear from a {s}?", "A {s} makes which sound?", "A {s} makes what noise?", "What does a {s} sound like?",
              "What is the sound of a {s} called?", "Which sound is typical of a {s}?", "How do we call the noise of a {s}?",
              "If you hear a {s}, what does it do?"]),
    "opposite": dict(
        facts=pairs("""big: small; hot: cold; fast: slow; high: low; old: young; rich: poor; long: short; hard: soft; full: empty; open: closed;
            early: late; strong: weak; heavy: light; dry: wet; clean: dirty; good: bad; happy: sad; loud: quiet; thick: thin; deep: shallow;
            wide: narrow; true: false; left: right; up: down; inside: outside; day: night; love: hate; win: lose; buy: sell; first: last;
            push: pull; begin: end; cheap: expensive; sharp: blunt; rough: smooth""", both_ways=True),
        sentence="The opposite of {s} is {o}.",
        nouns=["the opposite of {s}", "the opposite of the word {s}", "the antonym of {s}", "the contrary of {s}", "the reverse of {s}"],
        asks=["Which word is the opposite of {s}?", "What word is the opposite of {s}?", "What is opposite to {s}?",
              "Which word means the opposite of {s}?", "What word means the opposite of {s}?", "{s} is the opposite of what?",
              "{s} is the opposite of which word?", "If something is not {s}, it is what?", "What do you call the opposite of {s}?",
              "The opposite of {s} is which word?", "What is the contrary word to {s}?", "Which word is contrary to {s}?",
              "Opposite of {s}", "What is an antonym for {s}?", "Which antonym does {s} have?", "What word is the antonym of {s}?",
              "Find the opposite of {s}."]),
    "plural": dict(
        facts=pairs("""mouse: mice; goose: geese; foot: feet; tooth: teeth; man: men; woman: women; child: children; ox: oxen; sheep: sheep;
            leaf: leaves; wolf: wolves; knife: knives; life: lives; wife: wives; half: halves; city: cities; baby: babies; box: boxes;
            bus: buses; potato: potatoes; tomato: tomatoes; person: people; cactus: cacti; louse: lice; fish: fish; shelf: shelves"""),
        sentence="The plural of {s} is {o}.",
        nouns=["the plural of {s}", "the plural of the word {s}", "the plural form of {s}", "the plural for {s}", "{s} in the plural"],
        asks=["How do you write the plural of {s}?", "How do you say {s} in the plural?", "How is the plural of {s} formed?",
              "Which word is the plural of {s}?", "What word is the plural of {s}?", "What do you call more than one {s}?",
              "One {s}, two what?", "What does {s} become in the plural?", "What plural does {s} have?", "What plural form has {s}?",
              "{s} has which plural?", "More than one {s} is called what?", "There is one {s}, then there are two what?",
              "If there are many of a {s}, which word do I use?", "Plural of {s}", "Put {s} into the plural."]),
    "past": dict(
        facts=pairs("""go: went; eat: ate; see: saw; take: took; give: gave; come: came; run: ran; write: wrote; drink: drank; sing: sang;
            swim: swam; fly: flew; know: knew; grow: grew; break: broke; speak: spoke; buy: bought; think: thought; teach: taught;
            catch: caught; sleep: slept; feel: felt; find: found; tell: told; stand: stood; drive: drove"""),
        sentence="The past tense of {s} is {o}.",
        nouns=["the past tense of {s}", "the past tense of the verb {s}", "the past form of {s}", "the past of {s}", "{s} in the past tense"],
        asks=["How do you write the past tense of {s}?", "How do you say {s} in the past tense?", "How is the past tense of {s} formed?",
              "Which word is the past tense of {s}?", "What word is the past tense of {s}?", "What does {s} become in the past tense?",
              "What past tense does {s} have?", "What past form has the verb {s}?", "{s} has which past tense?",
              "Today I {s}, yesterday I what?", "Today they {s}, yesterday they what?", "Put {s} into the past tense.",
              "If I {s} today, what did I do yesterday in one word?", "What is the verb {s} in the past?", "Past tense of {s}",
              "What form does the verb {s} take in the past?"]),
    "next_month": dict(
        facts=after(MONTHS),
        sentence="The month after {s} is {o}.",
        nouns=["the month after {s}", "the month that follows {s}", "the month following {s}", "the next month after {s}"],
        asks=["Which month comes after {s}?", "What month comes after {s}?", "Which month follows {s}?", "What month follows {s}?",
              "Which month is after {s}?", "After {s} comes which month?", "What comes after {s}?", "{s} is followed by which month?",
              "If it is {s}, what month comes next?", "It is {s} now, which month is next?", "Which month comes next after {s}?",
              "Which month starts when {s} ends?", "What month begins after {s}?", "Which is the month right after {s}?"]),
    "previous_month": dict(
        facts=before(MONTHS),
        sentence="The month before {s} is {o}.",
        nouns=["the month before {s}", "the month that precedes {s}", "the month preceding {s}", "the last month before {s}"],
        asks=["Which month comes before {s}?", "What month comes before {s}?", "Which month precedes {s}?", "What month precedes {s}?",
              "Which month is before {s}?", "Before {s} comes which month?", "What comes before {s}?", "{s} is preceded by which month?",
              "If it is {s}, what month came before?", "It is {s} now, which month was before?", "Which month came just before {s}?",
              "Which month ends when {s} starts?", "What month ends before {s}?", "Which is the month right before {s}?"]),
    "month_length": dict(
        facts=[(m, str(n)) for m, n in zip(MONTHS, MONTH_LENGTHS)],
        sentence="{s} has {o} days.",
        nouns=["the number of days in {s}", "the number of days of {s}", "how many days {s} has", "the length of {s} in days"],
        asks=["How many days does {s} have?", "How many days are in {s}?", "How many days are there in {s}?", "How many days has {s}?",
              "How long is {s} in days?", "{s} has how many days?", "In {s}, how many days are there?", "How many days long is {s}?",
              "How many days does the month of {s} have?", "The month {s} has how many days?", "Of how many days does {s} consist?",
              "How many days can I count in {s}?", "What number of days does {s} have?", "What is the last day number of {s}?"]),
    "next_day": dict(
        facts=after(DAYS),
        sentence="The day after {s} is {o}.",
        nouns=["the day after {s}", "the day that follows {s}", "the day following {s}", "the next day after {s}"],
        asks=["Which day comes after {s}?", "What day comes after {s}?", "Which day follows {s}?", "What day follows {s}?",
              "Which day is after {s}?", "After {s} comes which day?", "What comes after {s}?", "{s} is followed by which day?",
              "If today is {s}, what day is tomorrow?", "Today is {s}, what is tomorrow?", "Which weekday comes after {s}?",
              "Which day starts when {s} ends?", "Which weekday follows {s}?", "Which is the day right after {s}?"]),
    "previous_day": dict(
        facts=before(DAYS),
        sentence="The day before {s} is {o}.",
        nouns=["the day before {s}", "the day that precedes {s}", "the day preceding {s}", "the last day before {s}"],
        asks=["Which day comes before {s}?", "What day comes before {s}?", "Which day precedes {s}?", "What day precedes {s}?",
              "Which day is before {s}?", "Before {s} comes which day?", "What comes before {s}?", "{s} is preceded by which day?",
              "If today is {s}, what day was yesterday?", "Today is {s}, what was yesterday?", "Which weekday comes before {s}?",
              "Which day ends when {s} starts?", "Which weekday precedes {s}?", "Which is the day right before {s}?"]),
    "sides": dict(
        facts=pairs("triangle: 3; square: 4; rectangle: 4; pentagon: 5; hexagon: 6; heptagon: 7; octagon: 8; nonagon: 9; decagon: 10"),
        sentence="A {s} has {o} sides.",
        nouns=["the number of sides of a {s}", "the number of corners of a {s}", "how many sides a {s} has", "how many corners a {s} has",
               "the number of sides in a {s}"],
        asks=["How many sides does a {s} have?", "How many sides has a {s}?", "How many corners does a {s} have?",
              "How many corners has a {s}?", "A {s} has how many sides?", "A {s} has how many corners?", "How many sides are there in a {s}?",
              "How many sides are in a {s}?", "How many sides do you count on a {s}?", "How many edges does a {s} have?",
              "What number of sides does a {s} have?", "How many angles does a {s} have?", "If I draw a {s}, how many sides do I draw?",
              "How many lines do I need to draw a {s}?", "A {s} is a shape with how many sides?"]),
    "legs": dict(
        facts=pairs("""dog: 4; cat: 4; cow: 4; horse: 4; hen: 2; duck: 2; goose: 2; bee: 6; ant: 6; fly: 6; butterfly: 6; spider: 8;
            scorpion: 8; crab: 10; lobster: 10; snake: 0; fish: 0; worm: 0; person: 2; elephant: 4"""),
        sentence="A {s} has {o} legs.",
        nouns=["the number of legs of a {s}", "how many legs a {s} has", "the number of legs on a {s}", "the number of legs that a {s} has"],
        asks=["How many legs does a {s} have?", "How many legs has a {s}?", "A {s} has how many legs?", "How many legs are there on a {s}?",
              "On how many legs does a {s} walk?", "How many legs do you count on a {s}?", "What number of legs does a {s} have?",
              "If I see a {s}, how many legs do I see?", "How many legs can I count on a {s}?", "A {s} walks on how many legs?",
              "A {s} is an animal with how many legs?", "With how many legs is a {s} born?", "How many legs belong to a {s}?",
              "How many legs does one {s} have?"]),
    "planet": dict(
        facts=pairs("first: Mercury; second: Venus; third: Earth; fourth: Mars; fifth: Jupiter; sixth: Saturn; seventh: Uranus; eighth: Neptune"),
        sentence="The {s} planet is {o}.",
        nouns=["the {s} planet", "the {s} planet from the sun", "the {s} planet of the solar system", "the name of the {s} planet"],
        asks=["Which planet is the {s} from the sun?", "What planet is the {s} from the sun?", "Which planet is {s} from the sun?",
              "Which planet comes {s} from the sun?", "What is the {s} planet called?", "Which is the {s} planet?",
              "Which planet is number {s} from the sun?", "The {s} planet is called what?", "How is the {s} planet called?",
              "Counting from the sun, what is the {s} planet?", "In the solar system, which planet is the {s}?",
              "Which planet has the {s} place from the sun?", "Who is {s} among the planets?", "Going out from the sun, which planet is {s}?"]),
    "roman": dict(
        facts=pairs("""1: I; 2: II; 3: III; 4: IV; 5: V; 6: VI; 7: VII; 8: VIII; 9: IX; 10: X; 11: XI; 12: XII; 13: XIII; 14: XIV; 15: XV;
            16: XVI; 17: XVII; 18: XVIII; 19: XIX; 20: XX; 50: L; 100: C; 500: D; 1000: M"""),
        sentence="{s} in Roman numerals is {o}.",
        nouns=["{s} in Roman numerals", "the Roman numeral for {s}", "the Roman numeral of {s}", "the number {s} in Roman numerals",
               "the Roman way to write {s}"],
        asks=["How do you write {s} in Roman numerals?", "How is {s} written in Roman numerals?", "Which Roman numeral means {s}?",
              "Which Roman numeral stands for {s}?", "What Roman numeral is {s}?", "How did the Romans write {s}?",
              "How would a Roman write {s}?", "Write {s} in Roman numerals.", "Write {s} as a Roman numeral.", "Turn {s} into a Roman numeral.",
              "What does {s} look like in Roman numerals?", "Which Roman numeral is the number {s}?", "Convert {s} to Roman numerals.",
              "How do I write the number {s} as a Roman numeral?"]),
    "unit": dict(
        facts=pairs("""seconds in a minute: 60; minutes in an hour: 60; hours in a day: 24; days in a week: 7; months in a year: 12;
            days in a year: 365; years in a decade: 10; years in a century: 100; meters in a kilometer: 1000; centimeters in a meter: 100;
            millimeters in a centimeter: 10; grams in a kilogram: 1000; kilograms in a ton: 1000; inches in a foot: 12; feet in a yard: 3;
            items in a dozen: 12; cents in a dollar: 100; milliliters in a liter: 1000; bits in a byte: 8; weeks in a year: 52;
            degrees in a circle: 360; players in a football team: 11; strings on a violin: 4; letters in the alphabet: 26"""),
        sentence="The number of {s} is {o}.",
        nouns=["the number of {s}", "how many {s} there are", "the count of {s}", "the total number of {s}"],
        asks=["How many {s} are there?", "How many {s}?", "How many {s} do we have?", "How many {s} do you count?", "How many are there: {s}?",
              "What number of {s} is there?", "How many {s} exist?", "The number of {s} is how much?", "How many {s} can you count?",
              "There are how many {s}?", "Count the {s}.", "How many {s} should I count?"]),
    "inventor": dict(
        facts=pairs("""telephone: Bell; light bulb: Edison; dynamite: Nobel; radio: Marconi; printing press: Gutenberg; steam engine: Watt;
            airplane: Wright; diesel engine: Diesel; battery: Volta; thermometer: Galileo; world wide web: Berners-Lee; telegraph: Morse;
            lightning rod: Franklin; hot air balloon: Montgolfier; revolver: Colt; saxophone: Sax; safety razor: Gillette; zeppelin: Zeppelin"""),
        sentence="The {s} was invented by {o}.",
        nouns=["the inventor of the {s}", "the person who invented the {s}", "the name of the inventor of the {s}", "the maker of the first {s}"],
        asks=["Who invented the {s}?", "Who is the inventor of the {s}?", "Who was the inventor of the {s}?", "By whom was the {s} invented?",
              "Which inventor gave us the {s}?", "Which person invented the {s}?", "The {s} was invented by whom?", "Who came up with the {s}?",
              "To whom do we owe the {s}?", "Who made the first {s}?", "Who created the {s}?", "Who built the first {s}?",
              "The {s} is the invention of whom?", "Whose invention is the {s}?"]),
    "author": dict(
        facts=pairs("""Hamlet: Shakespeare; Faust: Goethe; Don Quixote: Cervantes; War and Peace: Tolstoy; Oliver Twist: Dickens; Dracula: Stoker;
            Frankenstein: Shelley; Emma: Austen; Ulysses: Joyce; The Trial: Kafka; The Odyssey: Homer; Les Miserables: Hugo; Candide: Voltaire;
            Moby Dick: Melville; Treasure Island: Stevenson; Robinson Crusoe: Defoe; The Hobbit: Tolkien; The Raven: Poe; Jane Eyre: Bronte;
            Animal Farm: Orwell; The Idiot: Dostoevsky; Tom Sawyer: Twain"""),
        sentence="{s} was written by {o}.",
        nouns=["the author of {s}", "the writer of {s}", "the person who wrote {s}", "the name of the author of {s}"],
        asks=["Who wrote {s}?", "Who is the author of {s}?", "Who was the author of {s}?", "By whom was {s} written?", "Which author wrote {s}?",
              "Which writer wrote {s}?", "{s} was written by whom?", "{s} is a work by which author?", "Whose work is {s}?", "Whose book is {s}?",
              "Which person is the author of {s}?", "Who is the writer of {s}?", "From which author is {s}?", "Who created the story {s}?"]),
    "colour": dict(
        facts=pairs("""grass: green; snow: white; coal: black; blood: red; the sky: blue; a banana: yellow; a lemon: yellow; a carrot: orange;
            milk: white; a frog: green; an elephant: gray; chocolate: brown; a strawberry: red; a flamingo: pink; the sun: yellow; a crow: black;
            a violet: purple; a tomato: red; an eggplant: purple; a pumpkin: orange; a pine tree: green; a polar bear: white; a brick: red"""),
        sentence="The color of {s} is {o}.",
        nouns=["the color of {s}", "the colour of {s}", "the usual color of {s}", "the typical colour of {s}"],
        asks=["What color is {s}?", "What colour is {s}?", "Which color is {s}?", "Which colour does {s} have?", "What color does {s} have?",
              "Of what color is {s}?", "Which color has {s}?", "What is the color that {s} has?", "{s} has which color?", "In what color do we see {s}?",
              "How would you describe the color of {s}?", "Which color do I need to paint {s}?", "What colour should I paint {s}?",
              "{s} is of which colour?"]),
}

# Arithmetic: every pair of operands from 1 to 10. {a} and {b} are written in digits or in words.
ARITHMETIC = {
    "sum": dict(
        sentence="{a} + {b} = {o}.",
        nouns=["{a} plus {b}", "{a} + {b}", "{a}+{b}", "the sum of {a} and {b}", "{a} and {b} together", "the result of {a} + {b}"],
        asks=["How much is {a} plus {b}?", "How much is {a} + {b}?", "How much is {a}+{b}?", "{a}+{b}", "{a} + {b}", "{a} + {b} =", "{a}+{b}=",
              "{a}+{b}=?", "{a} + {b} = ?", "Add {a} and {b}.", "Add {b} to {a}.", "What do you get if you add {a} and {b}?", "What does {a} plus {b} make?",
              "What does {a} + {b} equal?", "Calculate {a} + {b}.", "Calculate {a}+{b}.", "Compute {a} plus {b}.", "Compute {a} + {b}.", "Work out {a} plus {b}.",
              "I have {a} apples and get {b} more. How many apples do I have?", "How many are {a} and {b}?", "{a} plus {b} equals what?",
              "{a} plus {b} is how much?", "What is {a} added to {b}?", "Solve {a} + {b}."]),
    "difference": dict(
        sentence="{a} - {b} = {o}.",
        nouns=["{a} minus {b}", "{a} - {b}", "{a}-{b}", "the difference of {a} and {b}", "{a} less {b}", "the result of {a} - {b}"],
        asks=["How much is {a} minus {b}?", "How much is {a} - {b}?", "How much is {a}-{b}?", "{a}-{b}", "{a} - {b}", "{a} - {b} =", "{a}-{b}=",
              "{a}-{b}=?", "{a} - {b} = ?", "Subtract {b} from {a}.", "Take {b} from {a}.", "What do you get if you take {b} from {a}?", "What does {a} minus {b} make?",
              "What does {a} - {b} equal?", "Calculate {a} - {b}.", "Calculate {a}-{b}.", "Compute {a} minus {b}.", "Compute {a} - {b}.", "Work out {a} minus {b}.",
              "I have {a} apples and give away {b}. How many apples do I have?", "How much is left if I take {b} from {a}?", "{a} minus {b} equals what?",
              "{a} minus {b} is how much?", "What remains of {a} after taking away {b}?", "Solve {a} - {b}."]),
    "product": dict(
        sentence="{a} * {b} = {o}.",
        nouns=["{a} times {b}", "{a} * {b}", "{a}*{b}", "{a} x {b}", "the product of {a} and {b}", "{a} multiplied by {b}", "the result of {a} * {b}"],
        asks=["How much is {a} times {b}?", "How much is {a} * {b}?", "How much is {a}*{b}?", "{a}*{b}", "{a} * {b}", "{a} * {b} =", "{a}*{b}=",
              "{a}*{b}=?", "{a} x {b} = ?", "Multiply {a} and {b}.", "Multiply {a} by {b}.", "What do you get if you multiply {a} by {b}?", "What does {a} times {b} make?",
              "What does {a} * {b} equal?", "Calculate {a} * {b}.", "Calculate {a}*{b}.", "Compute {a} times {b}.", "Compute {a} x {b}.", "Work out {a} times {b}.",
              "I have {a} boxes with {b} apples each. How many apples do I have?", "How many apples are in {a} bags of {b}?", "{a} times {b} equals what?",
              "{a} times {b} is how much?", "{a} x {b}", "Solve {a} * {b}."]),
}

# Ways to ask for a noun phrase; {N} is the noun phrase with a capital first letter.
FRAMES = [
    "What is {n}?", "What's {n}?", "Tell me {n}.", "Please tell me {n}.", "Do you know {n}?", "Can you tell me {n}?", "Could you tell me {n}?",
    "Name {n}.", "Give me {n}.", "I want to know {n}.", "I need to know {n}.", "I would like to know {n}.", "Say what {n} is.",
    "Tell me what {n} is.", "Do you know what {n} is?", "Can you say what {n} is?", "I wonder what {n} is.", "Would you tell me {n}?", "{N}?",
    "{N} is what?", "{N}, please.", "What would you say is {n}?", "Please name {n}.", "Let me know {n}.", "What exactly is {n}?",
    "I forgot {n}.", "Help me remember {n}.", "Any idea what {n} is?", "Remind me what {n} is.", "So what is {n}?", "{N} is", "{N}",
    "What might {n} be?", "Please say what {n} is.", "Could you name {n}?", "I am looking for {n}.", "How about {n}?", "State {n}.",
    "Please give me {n}.", "Who knows {n}?", "Find {n}.", "Explain what {n} is.", "Write down {n}.", "Show me {n}."]

PREFIXES = ["Quick question: ", "Hello. ", "Hi, ", "Please answer: ", "Question: ", "Hey, ", "I have a question. ", "Answer this: ", "For a quiz: ",
            "OK, ", "Help me: ", "Just wondering, ", "Q: ", "Well, ", "Excuse me, ", "Good morning! ", "Dear assistant, ", "A short one: ", "Now, ",
            "Here is my question: ", "Let us see. ", "Next question: "]
SUFFIXES = [" Thanks.", " Thank you.", " Please.", " Answer briefly.", " Be brief.", " I forgot.", " I need it for school.", " In one sentence please.",
            " Please answer in one line.", " I do not remember.", " Just the answer.", " It is for a quiz."]
