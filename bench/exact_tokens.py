"""Documents about things that have exact names, and questions that name one: made from a seed.

Each thing (a part, an error, an order, a product) has a token; each token has decoys, which differ
by one edit and have documents of their own, written alike. Beside them are general articles, as
near to the questions in meaning as the right documents are. A question is a token alone or a
sentence around one, in one of the forms that people write: `AB-1234`, `AB1234`, `ab 1234`.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass

TARGETS_PER_KIND = 32
DECOYS = 2

_LETTERS, _DIGITS = string.ascii_uppercase, string.digits
_CONSONANTS, _VOWELS = "bcdfghklmnprstvz", "aeiou"


@dataclass(frozen=True)
class Article:
    """What is searched."""

    title: str
    text: str


@dataclass(frozen=True)
class Question:
    """What is asked, the position of the one article that answers it, and what kind it is of."""

    text: str
    answer: int
    kind: str


@dataclass(frozen=True)
class Fact:
    """What an article says of a thing, and questions that it answers."""

    text: str
    questions: tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """How the tokens of a kind of things look, and what is written and asked about them."""

    name: str
    token: Callable[[random.Random], str]
    titles: tuple[str, ...]
    facts: tuple[Fact, ...]
    more: tuple[str, ...]


def _pick(chance: random.Random, letters: str, count: int) -> str:
    return "".join(chance.choice(letters) for _ in range(count))


def _part(chance: random.Random) -> str:
    first, last = _pick(chance, _LETTERS, chance.choice((2, 3))), _pick(chance, _DIGITS, 4)
    tail = f"-{_pick(chance, _LETTERS, 1)}" if chance.random() < 0.25 else ""
    return f"{first}-{last}{tail}"


def _error(chance: random.Random) -> str:
    form = chance.randrange(3)
    if form == 0:
        return f"E-{_pick(chance, _DIGITS, 4)}"
    if form == 1:
        return f"ERR-{_pick(chance, _DIGITS, 3)}"
    return f"0x{_pick(chance, '0123456789ABCDEF', 4)}"


def _order(chance: random.Random) -> str:
    if chance.random() < 0.5:
        return f"{_pick(chance, _DIGITS, 3)}-{_pick(chance, _DIGITS, 7)}"
    return f"SO-{_pick(chance, _DIGITS, 6)}"


def _product(chance: random.Random) -> str:
    syllables = (
        chance.choice(_CONSONANTS) + chance.choice(_VOWELS) for _ in range(chance.choice((2, 3)))
    )
    name = "".join(syllables) + chance.choice(("n", "r", "x", "l", "nd", "st", ""))
    return name.title() + chance.choice(("", "", "", " Duo", " Air", " 300"))


KINDS = (
    Kind(
        "part number",
        _part,
        ("{token}", "{token}: {thing}", "{thing} {token}"),
        (
            Fact(
                "The {thing} {token} fits {machine}. It is made of {material} and weighs {n} g.",
                (
                    "Which machine does part {token} fit?",
                    "I need a replacement for {token}, what does it weigh?",
                    "what is {token} made of",
                ),
            ),
            Fact(
                "{token} is a {thing} for {machine}. Tighten it with {n} Nm.",
                (
                    "Can you send me the torque for the {token} please",
                    "how tight does {token} have to be",
                ),
            ),
            Fact(
                "There are {n} of {token} in stock, in packs of ten. It is a {thing}.",
                ("Is {token} in stock?", "How many {token} are in a pack?"),
            ),
        ),
        (
            "If you order {token} before noon, it is sent the same day.",
            "We sell {token} with a warranty of {n} months.",
            "Some call it {token} after its mould.",
            "Ask at the counter when you are in a hurry.",
        ),
    ),
    Kind(
        "error code",
        _error,
        ("Error {token}", "{token}", "What {token} means"),
        (
            Fact(
                "{machine} shows {token} when the {thing} is blocked. Clean it and start again.",
                (
                    "My machine shows {token}, what should I do?",
                    "How do I get rid of error {token}?",
                ),
            ),
            Fact(
                "{token} means that the {thing} is too hot. Let {machine} rest for {n} minutes.",
                (
                    "It stopped this morning and the display says {token}",
                    "what does {token} mean",
                ),
            ),
            Fact(
                "If {token} comes again, the {thing} of {machine} is worn and must be replaced.",
                ("{token} again!! third time this week, please help",),
            ),
        ),
        (
            "Write to us if {token} stays after that.",
            "Models made before {year} show {token} at every start.",
            "Nothing is broken when {token} comes only once.",
            "The fuse need not be changed for this.",
        ),
    ),
    Kind(
        "order number",
        _order,
        ("Order {token}", "{token}", "Note on order {token}"),
        (
            Fact(
                "Order {token}: {n} pieces of {thing} for {machine}, sent by courier.",
                (
                    "Where is my order {token}?",
                    "Has {token} been shipped yet? I have been waiting for two weeks.",
                ),
            ),
            Fact(
                "The {thing} of order {token} is out of stock; it can still be cancelled.",
                ("I would like to cancel {token}", "what is holding up {token}?"),
            ),
            Fact(
                "Order {token} goes to a new delivery address, with {n} {thing}s of {material}.",
                ("Please change the delivery address of order number {token}.",),
            ),
        ),
        (
            "The invoice of {token} went out by mail.",
            "Nobody was at home when {token} came the first time.",
            "The customer asked for {token} to be packed as a gift.",
            "It was placed in the shop in {year}.",
        ),
    ),
    Kind(
        "product name",
        _product,
        ("{token}", "The {token}", "{token}: {machine}"),
        (
            Fact(
                "The {token} is our lightest model for {machine}: it weighs {n} kg.",
                (
                    "I am thinking about buying a {token}, how light is it?",
                    "how much does the {token} weigh",
                ),
            ),
            Fact(
                "{token} comes with a {thing} and {n} metres of cable. Its case is {material}.",
                (
                    "Does the {token} come with a cable?",
                    "is the case of the {token} any good",
                ),
            ),
            Fact(
                "Clean the {thing} of the {token} every {n} days, and that of {machine} too.",
                ("How often do I have to clean my {token}?",),
            ),
        ),
        (
            "You get the {token} in three colours.",
            "Since {year} we build the {token} in our own works.",
            "Many bakeries swear by the {token} for its low noise.",
            "Spare parts are kept for {n} years.",
        ),
    ),
)

_THINGS = (
    "filter", "gasket", "bearing", "pump", "valve", "seal", "belt", "sensor", "nozzle", "spring",
    "hose", "fan", "clamp", "relay", "bracket", "switch",
)  # fmt: skip
_MACHINES = (
    "the bread oven", "the lawn mower", "the coffee grinder", "the laser printer", "the compressor",
    "the dishwasher", "the sewing machine", "the band saw", "the heat pump", "the milling machine",
)  # fmt: skip
_MATERIALS = ("steel", "brass", "rubber", "nylon", "aluminium", "copper", "ceramic", "oak")
_GENERAL = (
    ("Finding out what is in stock", "The shop shows for every part whether it is in stock."),
    ("Which part fits which machine", "The machine's plate names its model; see the part list."),
    ("Tightening torque", "Tighten by hand first, then by the torque in the manual."),
    ("Replacing worn parts", "A replacement part must have the weight and size of the old one."),
    ("What error codes mean", "When your machine shows an error, note the code and call us."),
    ("The machine has stopped", "If the display says nothing, look at the fuse, then at the plug."),
    ("Errors that come again", "If an error comes back for the third time, ask for help."),
    ("Getting rid of errors", "Switch the machine off and on; most errors are gone then."),
    ("Where is my order?", "You see where your order is on the page of your parcel."),
    ("Cancelling an order", "You can cancel an order until it has been shipped."),
    ("Changing the delivery address", "Tell us the new address and the number of your order."),
    ("Waiting for a delivery", "If you have been waiting for two weeks, write to us."),
    ("Cables", "All products come with a cable of two metres; longer ones are for sale."),
    ("Cleaning your machine", "Clean the case once a month with a soft cloth."),
    ("Which product to buy", "If you think about buying a light model, come and try it."),
    ("Reading a part number", "The letters say what a part is, the figures its size."),
)


def make(seed: int) -> tuple[list[Article], list[Question]]:
    """At least 300 articles and 200 questions; the same seed makes the same ones."""
    chance = random.Random(seed)
    articles = [Article(*general) for general in _GENERAL]
    asked: list[Question] = []
    taken: set[str] = set()
    for kind in KINDS:
        for _ in range(TARGETS_PER_KIND):
            token, *decoys = _tokens(kind, chance, taken)
            fact = chance.choice(kind.facts)
            texts = _questions(fact, token, chance)
            asked += [Question(text, len(articles), kind.name) for text in texts]
            articles.append(_article(kind, fact, token, chance))
            articles += [_article(kind, chance.choice(kind.facts), one, chance) for one in decoys]
    order = list(range(len(articles)))
    chance.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    moved = [Question(one.text, place[one.answer], one.kind) for one in asked]
    return [articles[old] for old in order], moved


def _tokens(kind: Kind, chance: random.Random, taken: set[str]) -> Iterator[str]:
    """A token that nothing else has in any form, and decoys that nothing else has either."""
    token = _new(lambda: kind.token(chance), taken)
    yield token
    for _ in range(DECOYS):
        yield _new(lambda: _edited(token, chance), taken)


def _new(make_one: Callable[[], str], taken: set[str]) -> str:
    while (bare := _bare(one := make_one())) in taken:
        pass
    taken.add(bare)
    return one


def _bare(token: str) -> str:
    return re.sub(r"[^0-9a-z]", "", token.lower())


def _edited(token: str, chance: random.Random) -> str:
    """`token` with one letter or digit changed, put in, left out, or swapped with its neighbour."""
    at = chance.choice([place for place, one in enumerate(token) if one.isalnum()])
    before, one, after = token[:at], token[at], token[at + 1 :]
    other = chance.choice(_like(one))
    edits = [before + other + after, before + one + other + after]
    if len(before) > 1 and before[-1].isalnum() and after[:1].isalnum():
        edits += [before + after, before[:-1] + one + before[-1] + after]
    return chance.choice(edits)


def _like(one: str) -> str:
    if one.isdigit():
        return _DIGITS
    return _LETTERS if one.isupper() else string.ascii_lowercase


def _article(kind: Kind, fact: Fact, token: str, chance: random.Random) -> Article:
    filled = {
        "token": token,
        "thing": chance.choice(_THINGS),
        "machine": chance.choice(_MACHINES),
        "material": chance.choice(_MATERIALS),
        "n": chance.randrange(2, 60),
        "year": chance.randrange(1998, 2024),
    }
    text = f"{fact.text} {chance.choice(kind.more)}".format(**filled)
    return Article(chance.choice(kind.titles).format(**filled), text[0].upper() + text[1:])


def _questions(fact: Fact, token: str, chance: random.Random) -> Iterator[str]:
    """One of the token alone, one of a sentence, one of either, each in a form of its own."""
    forms = [token, token.replace("-", ""), token.replace("-", " ").lower(), token.lower()]
    chance.shuffle(forms)
    yield forms[0]
    yield chance.choice(fact.questions).format(token=forms[1])
    yield chance.choice(("{token}", *fact.questions)).format(token=forms[2])
