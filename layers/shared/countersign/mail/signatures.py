"""What stands below a message and was not written for it: signatures, footers, disclaimers.

Wrongly taking a sentence for a signature is worse than leaving one: a rule needs its own proof.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from countersign.mail.headings import cleaned
from countersign.mail.layout import Line

_MOST_LINES = 15
_LONGEST_LINE = 160

_DELIMITER = re.compile(r"--|—{1,40}|–{2,40}|_{2,60}")
_RULE = re.compile(r"[-_=~#*+—–]{2,}|ᐧ|\W?")

_DEVICE = (
    r"iphone|ipad|ipod|android|blackberry|galaxy|samsung|huawei|xiaomi|nokia|htc|pixel|windows"
    r"|outlook|mailbox|yahoo"
    r"|gmail|mail|mobile?|mobil\w*|smartphone|phone|handy|tablet|device|tél\w*|telefon\w*"
    r"|téléphone|telefone|teléfono|móvil"
    r"|celular|cellulare|telefonino|proton\w*|typeapp|airmail|spark|work|pc|mac|телефон\w*"
    r"|смартфон\w*"
)
_SENT = re.compile(
    r"(?:(?:someone )?(?:sent|send|from|get|download) (?:from|via|with|by|using|my|mobile"
    r"|outlook|a|\[?outlook)\b"
    # German, French, Spanish, Portuguese, Italian, Dutch
    r"|von mein[\w/]+ .{1,40}gesendet|gesendet (?:von|mit|über)\b"
    r"|diese nachricht wurde von .{1,60}gesendet|outlook für\b"
    r"|envoyé (?:depuis|de|à partir|avec|via)\b|(?:télécharger?|obtenez|obtenir) outlook\b"
    r"|enviado (?:desde|do|da|a partir|de|com|con|via)\b|(?:obtener|obter|descargar?"
    r"|baixar) (?:o )?outlook\b"
    r"|inviato (?:da|dal|con)\b|(?:scarica|ottieni) outlook\b|(?:verzonden|verstuurd) (?:vanaf"
    r"|vanuit|met|via)\b|outlook voor\b"
    # Swedish, Danish, Norwegian, Finnish, Polish, Czech, Slovak
    r"|skickat från\b|hämta outlook\b|sendt fra\b|(?:hent|last ned) outlook\b|lähetetty\b"
    r"|hanki outlook\b"
    r"|wysłan[eo] z\b|pobierz .{0,12}outlook\b|odesláno z\b|odoslané z\b|získat outlook\b"
    # Hungarian, Romanian, Turkish, Russian, Ukrainian, Greek
    r"|küldve\b|az iphone-omról küldve|trimis (?:de pe|din)\b|.{1,30}(?:dan|den) gönderildi"
    r"|отправлено (?:с|из)\b"
    r"|надіслано (?:з|із)\b|στάλθηκε από\b"
    # Chinese, Japanese, Korean
    r"|(?:从|從|發自|发自).{1,40}|.{1,24}から送信|.{0,8}outlook.{0,20}を入手"
    r"|(?:나의|내) .{1,24}에서 보냄"
    r"|获取 outlook.{0,20})",
    re.IGNORECASE,
)
_SENT_WORD = re.compile(rf"\b(?:{_DEVICE})", re.IGNORECASE)
_EXCUSE = re.compile(
    r"[,.;!-]+\s*(?:so\s)?(?:please|pls|sorry|excuse|apolog|pardon|typos|brevity|bitte|désolé"
    r"|perdón|scus).*$",
    re.IGNORECASE,
)
_POSTSCRIPT = re.compile(r"(?:p\.?\s?){1,3}s\.?[.:：]", re.IGNORECASE)
_LINK = re.compile(r"\s*[<(\[]?(?:https?|mailto):\S*|\[|\]")

_CLOSING = re.compile(
    r"(?:(?:with )?(?:kind|best|warm|many|my|kindest|warmest)?\s?(?:regards|wishes)|best|cheers"
    r"|thanks|thank you|many thanks"
    r"|thanks in advance|sincerely|yours (?:sincerely|truly|faithfully)|sincerely yours"
    r"|respectfully|rgds|br|kr|thx"
    r"|mit (?:freundlichen|besten|lieben|vielen|herzlichen) gr(?:ü|ue)(?:ß|ss)en|(?:viele|beste"
    r"|liebe|freundliche|schöne|herzliche)"
    r" gr(?:ü|ue)(?:ß|ss)e|gr(?:u|ü|ue)(?:ß|ss)e?|mfg|lg|vg|danke|vielen dank"
    r"|(?:bien )?cordialement|bien à vous|salutations|cdlt|merci|sincères salutations"
    r"|saludos(?: cordiales)?|un saludo|atentamente"
    r"|gracias|muchas gracias|atenciosamente|cumprimentos|com os melhores cumprimentos|abraços"
    r"|obrigad[oa]|att"
    r"|cordiali saluti|distinti saluti|saluti|grazie|met vriendelijke groet(?:en)?|groeten|groet"
    r"|mvg|med vänlig(?:a)? hälsning(?:ar)?"
    r"|vänliga hälsningar|mvh|(?:med )?venlig hilsen|(?:med )?vennlig hilsen|hilsen|vh"
    r"|ystävällisin terveisin|terveisin|z poważaniem"
    r"|pozdrawiam|s pozdravem|s pozdravom|üdvözlettel|tisztelettel|cu stimă|saygılarımla"
    r"|с уважением|з повагою|με εκτίμηση"
    r"|此致|敬礼|謹んで|敬具|よろしくお願いいたします|よろしくお願いします|감사합니다)[\s,.!–—-]{0,4}",
    re.IGNORECASE,
)
_CONTACT = re.compile(
    r"@[\w-]{2,}\.\w|https?://|www\.\w|\+\d[\d\s().-]{6,}|\b(?:tel|phone|mobile?|fax|tél|telefon"
    r"|mob|cell|t|m|p)\b\.?\s?[:.]?\s?[+(]?\d"
    r"|\(\d{2,5}\)\s?\d{3}|\d{3}[-.\s]\d{3,4}[-.\s]?\d{3,4}",
    re.IGNORECASE,
)

_DISCLAIMER_BEGINS = re.compile(
    r"\W{0,6}(?:(?:caution|warning|disclaimer|confidential\w*(?: notice)?|important notice"
    r"|privileged|legal notice|notice)\b\s?[:：!–-]"
    r"|(?:the|this) (?:information|content|e-?mail|message"
    r"|communication)\b.{0,60}\b(?:confidential|privileged|intended)"
    r"|diese e-?mail (?:enthält|und)|der inhalt dieser e-?mail|vertraulich|wichtiger hinweis"
    r"|avis de confidentialité|ce (?:message|courriel) (?:et|est|contient)"
    r"|aviso (?:legal|de confidencialidad)|este (?:mensaje|correo|e-?mail) (?:y|e|es|contiene"
    r"|contém|pode)|esta mensagem (?:e|é|pode|contém)"
    r"|avviso di riservatezza|le informazioni contenute|questo messaggio (?:e|è|contiene)"
    r"|dit (?:bericht|e-?mail)\w* (?:is|kan|en)|deze e-?mail (?:is|en)"
    r"|detta (?:meddelande|e-?post)|denne (?:e-?mail|e-?post|mail)\w* (?:er|kan|og)"
    r"|treść tej wiadomości|ta wiadomość|настоящее (?:сообщение|письмо)"
    r"|本邮件|本メール|この(?:電子)?メール)",
    re.IGNORECASE,
)
_DISCLAIMER_WORDS = re.compile(
    r"intended (?:only|solely)|intended recipient|addressee|confidential|privileged|(?:received?"
    r"|reçu|erhalten|recib\w+|recebeu|ricevut\w+|ontvangen)"
    r".{0,40}(?:error|erreur|irrtümlich|error|engano|errore|abusievelijk)|irrtümlich"
    r"|delete (?:it|this|the)|unauthori[sz]ed|disclos|viruses|"
    r"consider the environment|notify the sender|vertraulich|bestimmungsgemäß|unbefugt"
    r"|confidenti[ae]l|destinataire|destinatari|geheimhalt|riservat"
    r"|vertrouwelijk|poufn|конфиденциальн|機密|机密",
    re.IGNORECASE,
)
_BANNER = re.compile(
    r"\W{0,4}(?:\[?external(?: e-?mail| sender| message)?\]?\W{0,4}$|(?:caution|warning"
    r"|attention|external e-?mail|achtung|vorsicht)\b.{0,120}"
    r"\b(?:originated|outside|external|extern|außerhalb)|you don'?t often get (?:e-?mail|this)"
    r"|\[?e-?mail externe?\]?\W{0,4}$"
    r"|sie erhalten nicht (?:oft|häufig) e-?mails|vous ne recevez pas souvent)",
    re.IGNORECASE,
)


def begins(lines: Sequence[Line]) -> int:
    """Where in `lines`, which end a message, its signature begins; their number if it has none."""
    end = len(lines)
    for _ in range(4):
        before = end
        end = _without_rules(lines, end)
        end = _without_sent_from(lines, end)
        end = _delimited(lines, end)
        end = _without_disclaimer(lines, end)
        if end == before:
            break
    return min(end, _after_closing(lines, end))


def banner(lines: Sequence[Line]) -> int:
    """How many lines at the top are a mail server's warning of mail from outside."""
    at = 0
    while at < len(lines) and not lines[at].text.strip():
        at += 1
    if at == len(lines) or not _BANNER.match(cleaned(lines[at].text)):
        return 0
    end = at
    while end < min(len(lines), at + 6) and lines[end].text.strip():
        end += 1
    return end


def _without_rules(lines: Sequence[Line], end: int) -> int:
    while end and _RULE.fullmatch(cleaned(lines[end - 1].text)):
        end -= 1
    return end


def _without_sent_from(lines: Sequence[Line], end: int) -> int:
    last = end
    while last:
        text = cleaned(lines[last - 1].text)
        if text and not is_sent_from(text):
            break
        last -= 1
        end = last if text else end
    return end


def is_sent_from(text: str) -> bool:
    """Whether a line is what a mail program adds: "Sent from my iPhone"."""
    if len(text) > _LONGEST_LINE:
        return False
    bare = _LINK.sub("", text).strip(" <>()*_\"'.-")
    bare = _EXCUSE.sub("", bare)
    if not _SENT.match(bare) or len(bare) > 90:
        return False
    # A person's sentence has a comma, a full stop, or goes on.
    if re.search(r"[,;!?]|\.\s", bare):
        return False
    return bool(_SENT_WORD.search(bare)) or len(bare.split()) <= 6


def _delimited(lines: Sequence[Line], end: int) -> int:
    """A signature below its delimiter: `-- ` (RFC 3676, 4.3), or what people make of it."""
    count = 0
    for at in range(end - 1, -1, -1):
        raw = lines[at].text.rstrip("\r\n")
        text = raw.strip()
        if _DELIMITER.fullmatch(text):
            is_standard = raw == "-- "
            if count and (is_standard or count <= (10 if text == "--" else 6)):
                below = [cleaned(line.text) for line in lines[at + 1 : end]]
                is_more = _is_postscript if is_standard else _is_said
                if not any(is_more(line) for line in below):
                    return at
            if text != "--":
                continue
        if text:
            count += 1
            if count > _MOST_LINES:
                break
    return end


def _is_said(text: str) -> bool:
    """Whether a line reads as something that is said to somebody."""
    return text.endswith("?") or len(text) > 90 or text.lower().startswith(("ps", "p.s", "p.p.s"))


def _is_postscript(text: str) -> bool:
    """Whether a line is one, with its mark: `PS Brakes Ltd` is a company."""
    return bool(_POSTSCRIPT.match(text))


def _without_disclaimer(lines: Sequence[Line], end: int) -> int:
    """Without the last paragraph if it is a lawyer's, as often as there is one."""
    for _ in range(6):
        last = end
        while last and not lines[last - 1].text.strip():
            last -= 1
        first = last
        while first and last - first < 30 and lines[first - 1].text.strip():
            first -= 1
        text = " ".join(line.text.strip() for line in lines[first:last])[:4000]
        words = {found.lower() for found in _DISCLAIMER_WORDS.findall(text)}
        least = 1 if _DISCLAIMER_BEGINS.match(text) else 3
        # Alone it is what was written, whatever it says.
        if len(text) < 80 or len(words) < least or not any(x.text.strip() for x in lines[:first]):
            return end
        end = first
    return end


def _after_closing(lines: Sequence[Line], end: int) -> int:
    """Behind "Regards" and a name: the rest, if it is how to reach that person.

    The closing and the name are words of who wrote, and stay.
    """
    closing = next(
        (at for at in range(end - 1, max(end - 14, -1), -1) if _is_closing(lines[at])), None
    )
    if closing is None:
        return end
    name = next((at for at in range(closing + 1, end) if lines[at].text.strip()), None)
    if name is None or len(lines[name].text.split()) > 5 or _CONTACT.search(lines[name].text):
        return end
    rest = [cleaned(line.text) for line in lines[name + 1 : end]]
    if any(_is_said(text) for text in rest) or not any(_CONTACT.search(text) for text in rest):
        return end
    return name + 1


def _is_closing(line: Line) -> bool:
    text = cleaned(line.text)
    return len(text) <= 50 and bool(_CLOSING.fullmatch(text))
