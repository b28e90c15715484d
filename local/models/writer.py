"""A writer that makes replies out of sentences of its sources: deterministic, and never inventive.

It stands in for a large model on a laptop. It says only what a source says, word for word, so
nothing that a customer writes can make it say anything else; where no sentence is close enough to
the question, it abstains.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from local.models.encoder import Encoder, Vectors
from local.models.sentences import Sentence, sentences

ENOUGH = 0.52
"""Score below which a sentence does not answer: off-topic questions reach 0.51 at most on the
sample articles, and questions that an article answers begin at 0.53."""
NEARLY_AS_GOOD = 0.78
"""Share of the best score that a further sentence needs."""
TITLE_WEIGHT = 0.15
WORD_WEIGHT = 0.2
DANGLING_PENALTY = 0.05
OTHER_CODE_PENALTY = 0.15
MAX_QUESTIONS = 3
MAX_CANDIDATES = 24
MAX_SENTENCE = 400
MAX_REMEMBERED = 8192

OPENING = "Thank you for your message."
CLOSING = "Please write to us again if anything is unclear."

_WORD = re.compile(r"[A-Za-z0-9][\w/'-]*")
_ENDING = re.compile(r"(?<=\w{3})(?:ing|ed|es|s)$")
_DANGLING = re.compile(r"(?:It|They|That|This|These|Those|Both|Each|Otherwise|In that case)\b")
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been but by can could did do does for from get got had has have"
        " hello hi how i if in is it its just me my need no not of on one or our please should so"
        " that the them there they this to too us was we were what when where which who why will"
        " with would you your",
    )
)


@dataclass(frozen=True)
class Source:
    """Something that may be quoted, under the name by which it is cited."""

    id: str
    title: str
    text: str


@dataclass(frozen=True)
class _Candidate:
    source: Source
    rank: int
    sentence: Sentence
    words: frozenset[str]


class Writer:
    """Answers the last message of a conversation; safe to share between threads."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._remembered: dict[str, Vectors] = {}

    def reply(self, content: str) -> dict[str, Any]:
        """The reply to a request `{"conversation": [{"from", "text"}], "sources": [{"id", "title",
        "text"}]}`, as `{"abstain", "reason", "answer", "citations": [{"source", "quote"}]}`.

        Content of another shape is a request without a question.
        """
        message, sources = _request(content)
        candidates = _candidates(message, sources)
        chosen: list[_Candidate] = []
        for question in _questions(message) if candidates else []:
            chosen += [found for found in self._best(question, candidates) if found not in chosen]
        if not chosen:
            return _abstention()
        return {
            "abstain": False,
            "reason": None,
            "answer": " ".join([OPENING, *map(_finished, chosen), CLOSING]),
            "citations": [{"source": one.source.id, "quote": one.sentence.text} for one in chosen],
        }

    def _best(self, question: str, candidates: Sequence[_Candidate]) -> list[_Candidate]:
        """The up to three sentences that answer `question`, in the order in which they stand."""
        scores = self._scores(question, candidates)
        order = sorted(range(len(candidates)), key=lambda i: (-scores[i], i))[:3]
        floor = max(ENOUGH, NEARLY_AS_GOOD * scores[order[0]])
        good = [candidates[i] for i in order if scores[i] >= floor]
        return sorted(good, key=lambda one: (one.rank, one.sentence.start))

    def _scores(self, question: str, candidates: Sequence[_Candidate]) -> list[float]:
        texts = [one.sentence.text for one in candidates]
        titles = [one.source.title for one in candidates]
        vectors = self._vectors([question, *texts, *titles])
        asked, told = vectors[0], vectors[1 : len(texts) + 1]
        meant = told @ asked + TITLE_WEIGHT * (vectors[len(texts) + 1 :] @ asked)
        shared = _shared_words(question, candidates)
        return [
            round(float(close) + WORD_WEIGHT * share - _penalty(question, one), 4)
            for close, share, one in zip(meant, shared, candidates, strict=True)
        ]

    def _vectors(self, texts: Sequence[str]) -> Vectors:
        remembered = self._remembered
        missing = [text for text in dict.fromkeys(texts) if text not in remembered]
        fresh: dict[str, Vectors] = {}
        if missing:
            vectors, _ = self._encoder.embed(missing)
            fresh = dict(zip(missing, vectors, strict=True))
        found = np.stack([fresh[text] if text in fresh else remembered[text] for text in texts])
        # Replaced, never changed: other threads may be reading the old one.
        self._remembered = fresh if len(remembered) > MAX_REMEMBERED else {**remembered, **fresh}
        return found


def _request(content: str) -> tuple[str, list[Source]]:
    """What the customer wrote since we last did, and the sources."""
    try:
        request = json.loads(content)
        unanswered: list[str] = []
        for turn in reversed(request["conversation"]):
            if turn["from"] != "customer":
                break
            unanswered.append(str(turn["text"]))
        sources = [
            Source(str(one["id"]), str(one.get("title") or ""), str(one["text"]))
            for one in request["sources"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", []
    return "\n".join(reversed(unanswered)), sources


def _questions(message: str) -> list[str]:
    """The sentences that ask something, else the whole message."""
    parts = [one.text for one in sentences(message)]
    asking = [part for part in parts if part.endswith("?")]
    whole = " ".join(parts)
    return asking[:MAX_QUESTIONS] or ([whole] if whole else [])


def _candidates(message: str, sources: Sequence[Source]) -> list[_Candidate]:
    """The sentences worth comparing: those that share most words, of the better sources first."""
    found: dict[str, _Candidate] = {}
    for rank, source in enumerate(sources):
        for sentence in sentences(source.text):
            if len(sentence.text) <= MAX_SENTENCE and _words(sentence.text):
                one = _Candidate(source, rank, sentence, _words(sentence.text))
                found.setdefault(sentence.text, one)
    asked = _words(message)
    likely = sorted(found.values(), key=lambda one: (-len(one.words & asked), one.rank))
    return sorted(likely[:MAX_CANDIDATES], key=lambda one: (one.rank, one.sentence.start))


def _shared_words(question: str, candidates: Sequence[_Candidate]) -> list[float]:
    """For each candidate, the share of the question's words in it; rare words weigh more."""
    asked = _words(question)
    counts = Counter(word for one in candidates for word in one.words)
    weight = {word: math.log(1 + len(candidates) / (counts[word] + 0.5)) for word in sorted(asked)}
    total = sum(weight.values()) or 1.0
    return [sum(weight[word] for word in sorted(asked & one.words)) / total for one in candidates]


def _words(text: str) -> frozenset[str]:
    """Stems of the words that carry meaning; a code such as AN-6 is one word without its marks."""
    found = (match.group().lower() for match in _WORD.finditer(text))
    return frozenset(
        re.sub(r"\W", "", word) if re.search(r"\d", word) else _ENDING.sub("", word)
        for word in found
        if word not in _COMMON
    )


def _penalty(question: str, one: _Candidate) -> float:
    """For a sentence that needs the one before it, and for one about another size or part."""
    asked, told = _codes(_words(question)), _codes(one.words)
    other = bool(asked and told and not asked & told)
    dangles = _DANGLING.match(one.sentence.text) is not None
    return DANGLING_PENALTY * dangles + OTHER_CODE_PENALTY * other


def _codes(words: frozenset[str]) -> set[str]:
    return {word for word in words if any(map(str.isdigit, word)) and not word.isdigit()}


def _finished(one: _Candidate) -> str:
    text = one.sentence.text
    return text if text.endswith((".", "!", "?")) else text + "."


def _abstention() -> dict[str, Any]:
    return {"abstain": True, "reason": "no_source_answers", "answer": "", "citations": []}
