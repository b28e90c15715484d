"""What mail programs write above a quote, in some thirty languages.

A line that names who wrote when ("On … wrote:", often folded), a block of the quoted mail's
headers (Outlook), or a divider ("-----Original Message-----"). Everything is looked at line by line
and of bounded length, since an expression over a whole mail is what hostile mails hang.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from countersign.mail.layout import Line

_MOST_LINES = 4
"""That an attribution is folded into."""
_LONGEST = 400
_BLOCK_LINES = 9

# Who "wrote", at the end: English, German, French, Spanish, Portuguese, Italian, Catalan, Dutch
_WROTE = (
    r"wrote|writes|schrieb(?: folgendes)?|geschrieben|schreibt|a écrit|écrivait|ecrit|escribió"
    r"|escribio"
    r"|escreveu|ha scritto|scrive|va escriure|schreef(?: het volgende)?|geschreven"
    # Polish, Swedish, Danish, Norwegian, Finnish, Icelandic, Czech, Slovak, Croatian, Slovene
    r"|napisał(?:a|o|\(a\))?|pisze|skrev(?: följande| følgende)?|kirjoitti|skrifaði"
    r"|napsal(?:a|\(a\))?|napísal(?:a|\(a\))?|napisao(?:/la| je)?|je napisal(?:a|/-a)?"
    # Hungarian, Romanian, Turkish, Lithuanian, Latvian, Estonian
    r"|(?:ezt )?írta(?: \([^)]{1,60}\))?|a scris|(?:şunu |şunları )?yazdı|rašė|rakstīja|kirjutas"
    # Russian, Ukrainian, Bulgarian, Serbian, Greek
    r"|написал(?:а|\(а\))?|пишет|писал|пише|написав|написала|написа|је написао|έγραψε"
    # Vietnamese, Indonesian, Thai, Hebrew, Arabic
    r"|đã viết|menulis|เขียนว่า|כתבה?|كتب"
)
# where no blank stands before it: Chinese, Japanese, Korean
_WROTE_UNSPACED = (
    "写道|寫道|写到|のメール|のメッセージ|のコメント|は書きました|作成|작성(?:하였습니다)?"
)
_ENDING = re.compile(
    rf"(?:(?:^|[\s,>)\]\"'”])(?:{_WROTE})"
    rf"|{_WROTE_UNSPACED})\s{{0,3}}(?P<colon>[:：])?[\s*_>-]{{0,8}}$"
)
_INSIDE = re.compile(
    r"[\s>](?:wrote on|schrieb|schreef|skrev|kirjoitti|napsal(?:\(a\))?|napísal(?:\(a\))?"
    r"|ezt írta|escribió|escreveu|a écrit|ha scritto|于|yazdı)[\s\d]"
)
_COLON = re.compile(r"[:：][\s*_]{0,4}$")

_BEGINNING = re.compile(
    r"[\W_]{0,8}(?:(?:On|At|In a message dated|Am|Le|El|Em|A|No dia|Il|In data|Op|W dniu|Dnia"
    r"|Wiadomość"
    r"|Den|Dne|Dňa|În|Pe|La|Data|Vào|Στις|На|Pada|Tarihinde|Dana|V|Dne)\s|在|於|于|في|בתאריך|ב-"
    # A date, or the name of a day or month before one.
    r"|\d{4}[-/.年년]|\d{1,2}[-/.:]\d|\d{1,2}\s\w|\d{1,2}\.\s|[^\W\d]{2,13}[.,]{0,2}\s\d"
    r"|[^\W\d]{2,3}\.?,\s)"
)
_OWN_BEGINNING = re.compile(
    r"[\W_]{0,8}(?:(?:On|Am|Le|El|Em|Il|In data|Op|W dniu|Dnia|Den|Dne|Dňa|În|Pe|Vào|Στις)\s"
    r"|在|於|\d{4}[-/.]\d|\d{1,2}[/.]\d{1,2}[/.]\d)"
)
_ADDRESS = re.compile(r"[^\s<>()\[\]:;,\"]{1,80}@[^\s<>()\[\]:;,\"]{2,}")
_IN_BRACKETS = re.compile(
    r"[<(\[]\s{0,2}(?:mailto:)?[^\s<>()\[\]]{1,80}@[^\s<>()\[\]]{1,80}[^<]{0,80}[>)\]]|&lt;[^\s&]{1,80}@[^\s&]{1,80}&gt;"
)
_TIME = re.compile(
    r"\d{1,2}\s?[:hH時时点]\s?\d{2}|(?<![\d.])\d{1,2}\.\d{2}(?![\d.])|\d\s?[AaPp]\.?[Mm]\b"
)
_DATE = re.compile(
    r"(?:19|20)\d\d|\d{1,2}[./-]\s?\d{1,2}[./-]|\d{1,2}\.?\s(?:de\s)?[^\W\d]{3,12}"
    r"|[^\W\d]{3,12}\.?\s\d{1,2}\b"
)
_NO_VERB = re.compile(r"[>)]\s{0,2}[:：][\s*_]{0,4}$|&gt;[:：]\s?$")
_OLD_GMAIL = re.compile(
    r"\d{4}-\d\d-\d\d \d{1,2}:\d\d GMT[+-]\d\d:\d\d \S[^:]{0,120}[:：]?"
    r"|\d{4}/\d{1,2}/\d{1,2} [^<>]{1,100}<[^<>\s]{3,80}>:?"
)
_QUOTING = re.compile(
    r"[\W_]{0,8}(?:Quoting|Zitat von|Citando(?: a)?|Citation de|Citazione di|Citat från|Citaat van"
    r"|Cytowanie|Cituji|Цитирую)\s"
)
# What stands in a sentence, and in no name.
_IN_PROSE = re.compile(
    r"\b(?:I|we|he|she|it|they|my|your|our|his|her|their|the|me|us|him|them|that"
    r"|ich|wir|er|sie|es|mir|mich|uns|ihm|ihr|Ihr|Ihre|Ihnen|mein|meine|unser|dass|folgendes|Folgendes"
    r"|je|j'ai|nous|il|elle|mon|ma|notre|votre|vous|me|que|yo|mi|nuestro|su|nos|eu|meu|minha|seu|sua"
    r"|io|mio|mia|suo|sua|ik|mijn|uw|wij|ons|dat|jag|min|vi|jeg|du|mig|ja|mój|moja|nasz|мы|мне|мой|вам|ваш)\b"
)
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


@dataclass(frozen=True)
class Heading:
    """Something above a quote: how many lines it takes, and what it is.

    `certain` is one that nobody writes by hand, so that what follows is a quote though nothing
    marks it.
    """

    kind: Literal["attribution", "block", "divider", "forward"]
    lines: int
    certain: bool


def cleaned(text: str) -> str:
    """A line as it is compared: no blanks around it, no marks of direction, not too long."""
    if not text:
        return ""
    text = text[: _LONGEST + 1].replace("\xa0", " ").replace("\u202f", " ")
    return _INVISIBLE.sub("", text).strip()


def attribution(lines: Sequence[Line], at: int) -> Heading | None:
    """The "On … wrote:" that ends at most four lines from `at`, folded or not."""
    if not _BEGINNING.match(cleaned(lines[at].text)) and "@" not in lines[at].text[:_LONGEST]:
        return None
    joined = ""
    depth = lines[at].depth
    for count, line in enumerate(lines[at : at + _MOST_LINES], start=1):
        text = cleaned(line.text)
        if not text or line.depth != depth or len(joined) + len(text) > _LONGEST:
            return None
        # What begins an attribution of its own is not a part of this one.
        if count > 1 and _OWN_BEGINNING.match(text):
            return None
        joined = f"{joined} {text}" if joined else text
        certain = _attributes(joined)
        if certain is not None:
            return Heading("attribution", count, certain)
    return None


def _attributes(text: str) -> bool | None:
    """Whether a text names who wrote when: None does not, and False could be the writer's own."""
    colon = _COLON.search(text)
    ending = _ENDING.search(text)
    if not colon and not ending:
        return True if _OLD_GMAIL.fullmatch(text) else None
    begins = bool(_BEGINNING.match(text))
    bracketed = bool(_IN_BRACKETS.search(text))
    addressed = bracketed or bool(_ADDRESS.search(text))
    timed, dated = bool(_TIME.search(text)), bool(_DATE.search(text))
    is_prose = not addressed and bool(_IN_PROSE.search(text))
    if ending:
        if not colon and not (addressed and (timed or dated) and begins):
            return None
        if addressed and (begins or bracketed):
            return True
        return timed and dated and not is_prose if begins and (timed or dated) else None
    if _INSIDE.search(text) and (begins or bracketed) and (timed or dated):
        return addressed or (timed and not is_prose)
    if bracketed and _QUOTING.match(text):
        return True
    if timed and dated and (_NO_VERB.search(text) or (begins and bracketed)):
        return True
    return True if _OLD_GMAIL.fullmatch(text) else None


_LABELS: dict[str, str] = {
    label: kind
    for kind, labels in {
        "from": "from|von|de|expéditeur|da|van|od|från|fra|lähettäjä|feladó|de la|kimden|gönderen"
        "|от|от кого|від|από|发件人|發件人|寄件者"
        "|差出人|送信者|보낸 사람|보낸사람|gửi từ|từ|dari|מאת|من|nuo|no|saatja"
        "|şe la",
        "date": "sent|date|received|gesendet|datum|envoyé|envoyé le|message du|enviado"
        "|enviado el|fecha"
        "|enviada em|enviado em|data|inviato|verzonden|wysłano|wysłane|skickat|sendt|dato|lähetetty"
        "|päivämäärä|päiväys|odesláno|odoslané|dátum|elküldve|küldve|trimis|gönderildi"
        "|gönderme tarihi|tarih"
        "|отправлено|дата|надіслано|στάλθηκε|ημερομηνία|发送时间|發送時間|寄件日期|日期|送信日時|日時|日付"
        "|보낸 날짜|날짜|보낸시간|đã gửi|ngày|dikirim|tanggal|נשלח|تاريخ|sent at|sent on",
        "to": "to|an|à|a|destinataire|pour|para|aan|do|till|til|vastaanottaja|komu|címzett|către"
        "|kime|alıcı"
        "|кому|προς|收件人|收件者|宛先|받는 사람|받는사람|đến|tới|kepada|אל|إلى",
        "cc": "cc|kopie|copie à|copie|copia|cópia|dw|kopia|kopi|kopio|másolat|bilgi|копия|копія"
        "|κοιν|抄送|副本"
        "|참조|reply-to|reply to|antwort an|répondre à|risposta|bcc|importance|attachments",
        "subject": "subject|betreff|objet|sujet|asunto|assunto|oggetto|onderwerp|temat|ämne|emne"
        "|aihe|předmět"
        "|predmet|tárgy|subiect|konu|тема|θέμα|主题|主題|主旨"
        "|件名|제목|chủ đề|perihal|subjek|נושא|الموضوع",
    }.items()
    for label in labels.split("|")
}
_LABEL = re.compile(r"[\s*_>•|]{0,8}([^\W\d_][^:：@<>*|]{0,24})[\s*_]{0,4}[:：][\s*_|]{0,6}")


def block(lines: Sequence[Line], at: int) -> Heading | None:
    """The headers of a quoted mail that begin at `at`: from whom, and about what or when."""
    kinds: list[str] = []
    first = _label(lines[at].text)
    if first is None:
        return None
    last, gap = at, 0
    addressed = False
    for place, line in enumerate(lines[at : at + _BLOCK_LINES], start=at):
        text = cleaned(line.text)
        kind = _label(text)
        gap = 0 if kind else gap + 1
        # Values are folded into a line or two; a blank line ends the block.
        if gap > 2 or (not text and len(kinds) > 1):
            break
        if kind and kind not in kinds:
            kinds.append(kind)
            last = place
            addressed |= kind == "from" and bool(_ADDRESS.search(text + _after(lines, place)))
    if not _is_block(kinds, addressed):
        return None
    return Heading("block", last - at + 1, True)


def _label(text: str) -> str | None:
    found = _LABEL.match(text[:120])
    return _LABELS.get(found[1].strip().lower()) if found else None


def _after(lines: Sequence[Line], place: int) -> str:
    """The next line, if it goes on with the value of this one."""
    after = cleaned(lines[place + 1].text) if place + 1 < len(lines) else ""
    return " " + after if after and _label(after) is None else ""


def _is_block(kinds: Sequence[str], addressed: bool) -> bool:
    """A traveller too writes From, To and Date below each other, but no subject or address."""
    found = set(kinds)
    if "from" not in found or not found & {"date", "subject"}:
        return False
    if kinds[0] != "from" and len(found) < 4:
        return False
    return len(found) >= 3 and ("subject" in found or addressed)


_QUOTED = (
    "original message|original email|original e-mail|reply message|ursprüngliche nachricht"
    "|original-nachricht"
    "|originalnachricht|urspr. nachricht|message d'origine|message d’origine|message original"
    "|message d´origine"
    "|mensaje original|mensagem original|messaggio originale|oorspronkelijk bericht"
    "|origineel bericht"
    "|oprindelig meddelelse|oprindelig besked|original meddelelse|originalmeddelande"
    "|ursprungligt meddelande"
    "|opprinnelig melding|alkuperäinen viesti|wiadomość oryginalna|oryginalna wiadomość"
    "|původní zpráva"
    "|původní e-mail|pôvodná správa|originalna poruka|izvirno sporočilo|eredeti üzenet"
    "|mesaj original"
    "|mesajul original|orijinal mesaj|özgün ileti|orijinal ileti|исходное сообщение"
    "|оригинальное сообщение"
    "|вихідне повідомлення|оригінальне повідомлення|αρχικό μήνυμα"
    "|原始邮件|原始郵件|元のメッセージ|원본 메시지"
    "|originalus laiškas|sākotnējais ziņojums|algne sõnum|thư gốc|tin nhắn gốc|pesan asli"
    "|הודעה מקורית|الرسالة الأصلية"
)
_PASSED_ON = (
    "forwarded message|begin forwarded message|forwarded by|weitergeleitete nachricht"
    "|anfang der weitergeleiteten nachricht|weitergeleitete e-mail|message transféré"
    "|message réexpédié"
    "|début du message réexpédié|début du message transféré|mensaje reenviado"
    "|inicio del mensaje reenviado"
    "|mensagem encaminhada|início da mensagem encaminhada|início da mensagem reencaminhada"
    "|messaggio inoltrato"
    "|inizio messaggio inoltrato|doorgestuurd bericht|begin doorgestuurd bericht"
    "|vidarebefordrat meddelande"
    "|vidarebefordrat mejl|videresendt meddelelse|videresendt besked|start på videresendt besked"
    "|videresendt melding|edelleenlähetetty viesti|välitetty viesti|przekazana wiadomość"
    "|wiadomość przekazana dalej"
    "|přeposlaná zpráva|preposlaná správa|továbbított üzenet|mesaj redirecţionat"
    "|mesaj redirecționat"
    "|iletilmiş mesaj|iletilen mesaj|пересылаемое сообщение|пересланное сообщение"
    "|начало переадресованного сообщения"
    "|переслане повідомлення|προωθημένο μήνυμα"
    "|转发邮件信息|转发的邮件|轉寄郵件|轉寄的郵件|転送メッセージ|転送されたメッセージ"
    "|전달된 메시지|전달된 메일|thư được chuyển tiếp|pesan terusan|הודעה שהועברה|رسالة مُعاد توجيهها"
)
_DIVIDER = re.compile(
    rf"[>\s*_|]{{0,8}}(?P<rule>[-‐–—_=]{{2,60}})\s{{0,3}}(?:(?P<quoted>{_QUOTED})"
    rf"|(?P<passed>{_PASSED_ON})[^-\n]{{0,60}})"
    r"\s{0,3}[:：]?[-‐–—_=…*\s]{0,60}$",
    re.IGNORECASE,
)
_APPLE_FORWARD = re.compile(
    rf"[>\s*_]{{0,8}}(?:{_PASSED_ON})\s{{0,3}}[:：][\s*_]{{0,4}}$", re.IGNORECASE
)
_REPLY_ABOVE = re.compile(r"\W{0,3}#{1,4}-?\s.{5,90}?\s-?#{1,4}\W{0,3}$")


def divider(line: Line) -> Heading | None:
    """A line that says that the original, or a mail that is passed on, follows."""
    text = cleaned(line.text)
    if len(text) > 160:
        return None
    found = _DIVIDER.match(text)
    if found:
        return Heading("forward" if found["passed"] else "divider", 1, True)
    if _APPLE_FORWARD.match(text):
        return Heading("forward", 1, True)
    return Heading("divider", 1, True) if _REPLY_ABOVE.match(text) else None
