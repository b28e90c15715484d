"""Subjects: what one says without the marks of mail programs, and whether another begins.

Mail programs put a prefix of their user's language before the subject of a reply or forward (RFC
5322, 3.6.5 knows `Re: ` alone), filters, lists and ticket systems put tags around it. The prefixes
are those of Outlook, Notes, Gmail, Yahoo, QQ and others in some thirty languages.
"""

from __future__ import annotations

import re
import unicodedata
from difflib import SequenceMatcher

_MOST_CHARACTERS = 1_000
"""Of a subject that are looked at; more is not a subject that a person wrote."""

_PREFIXES = (
    # replies: English, German, Scandinavian, Finnish, Dutch, French, Italian, Portuguese
    "re|aw|antwort|sv|svar|vs|antw|antwoord|réponse|réf|rif|r|res|resp|respuesta"
    # Polish, Czech, Slovak; Slovene, Croatian; Hungarian, Romanian, Turkish, Latvian, Welsh
    "|odp|odpověď|odg|vá|válasz|rasp|răsp|ynt|cvp|atb|ats"
    # Greek, Russian, Ukrainian, Bulgarian, Hebrew, Arabic
    "|απ|σχετ|отв|ответ|на|відп|отг|השב|תגובה|رد"
    # Chinese, Japanese, Korean, Vietnamese, Thai, Indonesian
    "|回复|回覆|答复|答覆|返信|回信|답장|회신|tl|ตอบกลับ|bls"
    # forwards, in the same order
    "|fwd?|wg|weitergeleitet|vb|vl|doorst|tr|i|inoltra|enc|rv|reenv|reenviado"
    "|pd|přeposl|posr|továbbítás|tov|ilt|i̇lt|pārs"
    "|πρθ|пересл|пересылка|fs|הועבר|إعادة توجيه"
    "|转发|轉寄|轉發|転送|전달|ct|ส่งต่อ|trs"
    # what filters put there with a colon
    "|external|ext|extern|spam|suspected spam"
)
_PREFIX = re.compile(
    rf"(?:{_PREFIXES})\.?\s?(?:\[\d{{1,4}}\]|\(\d{{1,4}}\)|[\^*]?\d{{1,4}})?\s?:\s?", re.IGNORECASE
)
_TAG = (
    r"(?:\[[^\[\]]{1,80}\]|\{spam\??\}|\*{2,9}\s?spam\s?\*{2,9}|\((?:external|extern|spam|fwd)\))"
)
_TAG_BEFORE = re.compile(rf"{_TAG}\s?", re.IGNORECASE)
_TAG_BEHIND = re.compile(rf"\s{_TAG}$", re.IGNORECASE)
_NO_SUBJECT = re.compile(
    r"[(<\[]?(?:no subject|kein betreff|sans objet|\(?sin asunto|nessun oggetto|senza oggetto"
    r"|sem assunto|geen onderwerp|bez tematu|bez předmětu|без темы|inget ämne|ingen emne|intet emne"
    r"|ei aihetta|konu yok|无主题|無主旨|无主題|件名なし|제목 없음)[)>\]]?",
    re.IGNORECASE,
)
_WAS = re.compile(
    r"[(\[](?:was|war|vorher|früher|ex|anciennement|était|antes|era|voorheen|tidligere|tidigare"
    r"|było|bylo|ранее|было)(?P<colon>\s?:)?\s(?P<old>[^()]{1,300})[)\]]?$",
    re.IGNORECASE,
)

_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Thai, kana, Han and Hangul: compared by pairs of characters."""
_SAYS_NOTHING = frozenset(
    _WORD.findall(
        "a about an and for from hello help hi i in is issue my new of on our problem query"
        " question regarding request support the to urgent with your"
        " am an anfrage bitte das der die ein eine frage für hallo hilfe im in mein meine mit"
        " problem um und wegen zu zum zur"
        " aide au avec bonjour concernant de demande des du et la le les ma mon pour question sur"
        " un une ayuda con consulta del duda el en hola los mi para pregunta por problema sobre una"
        " aiuto ciao di domanda il mia mio per richiesta su ajuda com da do dúvida meu minha olá"
        " y een het hulp met mijn over probleem van voor vraag"
    )
)
"""Words of contact in English, German, French, Spanish, Italian, Portuguese, Dutch: no topic."""

_YEAR = re.compile(r"(?:19|20)\d\d")
_SMALL_EDIT = 0.75
_SHARED = 0.5


def base(subject: str) -> str:
    """`subject` without prefixes of replies and forwards, tags and needless blanks; may be ''.

    For comparing. It is not for writing: a tag that another's ticket system reads is gone.
    """
    text = _cleaned(subject)
    while True:
        shorter = _once_shorter(text)
        if shorter == text:
            return text
        text = shorter


def is_another(before: str | None, now: str | None) -> bool:
    """Whether a person who answers `before` under the subject `now` begins a conversation anew.

    Without a subject nobody does, nor with a part of the old one, with more added to it or with a
    slip of the pen mended. "Something else (was: the old one)" does, and so do other words or the
    number of another order. Clients and trackers disagree: Gmail splits at every change
    (mimestream/new-bugs#35), and those that never split answer under the old subject
    (chatwoot/chatwoot#15869) or, where they split at any change, tear conversations apart
    (suitenumerique/messages#765).
    """
    old, new = _key(before or ""), _key(now or "")
    if not old or not new:
        return False
    renamed = _WAS.search(new)
    old, new = _WAS.sub("", old).strip() or old, _WAS.sub("", new).strip() or new
    if _contains(old, new) or _contains(new, old):
        return False
    if renamed and (renamed["colon"] or _contains(_key(renamed["old"]), old)):
        return True
    return _numbers_differ(old, new) or not _alike(old, new)


def _cleaned(subject: str) -> str:
    text = subject[:_MOST_CHARACTERS].replace("\uff1a", ":")
    # Control characters are blanks, invisible ones (a mark of direction, say) are nothing.
    text = "".join(" " if unicodedata.category(c) == "Cc" else c for c in text)
    text = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cs"))
    return " ".join(unicodedata.normalize("NFC", text).split())


def _once_shorter(text: str) -> str:
    prefix = _PREFIX.match(text)
    if prefix:
        return text[prefix.end() :].strip()
    # A tag alone is the subject.
    tag = _TAG_BEFORE.match(text)
    if tag and tag.end() < len(text):
        return text[tag.end() :].strip()
    return _TAG_BEHIND.sub("", text).strip()


def _key(subject: str) -> str:
    text = base(subject)
    return "" if _NO_SUBJECT.fullmatch(text) else text.casefold()


def _words(text: str) -> list[str]:
    words: list[str] = []
    for word in _WORD.findall(text):
        if _UNSPACED.search(word) and len(word) > 1:
            words += [word[at : at + 2] for at in range(len(word) - 1)]
        else:
            words.append(word)
    return words


def _contains(longer: str, shorter: str) -> bool:
    """Whether the words of `shorter` stand in `longer`, next to each other; no words are in any."""
    inside, outside = _words(shorter), _words(longer)
    return any(
        outside[at : at + len(inside)] == inside for at in range(len(outside) - len(inside) + 1)
    )


def _numbers_differ(old: str, new: str) -> bool:
    """Whether each names numbers (of orders, invoices, …) and none of them is the other's."""
    numbers = [{w for w in _words(text) if sum(map(str.isdigit, w)) > 2} for text in (old, new)]
    if any(not _YEAR.fullmatch(both) for both in numbers[0] & numbers[1]):
        return False
    first, second = numbers[0] - numbers[1], numbers[1] - numbers[0]
    if not first or not second:
        return False
    return not any(_mended(one, two) for one in first for two in second)


def _mended(one: str, two: str) -> bool:
    """Whether a number is the other with a slip of the pen mended: two digits that changed places,
    one too many or too few. With another digit it is the next order's."""
    shorter, longer = sorted((one[:40], two[:40]), key=len)
    if len(shorter) == len(longer):
        return sorted(shorter) == sorted(longer)
    return any(longer[:at] + longer[at + 1 :] == shorter for at in range(len(longer)))


def _alike(old: str, new: str) -> bool:
    if SequenceMatcher(None, old[:200], new[:200], autojunk=False).ratio() >= _SMALL_EDIT:
        return True
    first, second = (set(_words(text)) - _SAYS_NOTHING for text in (old, new))
    if not first or not second:
        # One of them names no topic ("Question"), so the other names no other one.
        return True
    shared = sum(map(len, first & second))
    return shared >= _SHARED * min(sum(map(len, first)), sum(map(len, second)))
