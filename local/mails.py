"""Customers' mails, as two mail programs write them."""

import base64
from datetime import UTC, datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from html import escape

_ORDER = "Your order 20417"
_SHIPPED = "Thank you for your order.\n\nOne parcel has left our shop today.\nTeam of the shop"
# One grey pixel.
_PHOTO = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)


def reply_with_photo(sender: str, name: str, recipient: str, text: str) -> bytes:
    """An answer to an earlier mail, which is quoted below it: plain and HTML, and a photo."""
    mail = _head(sender, name, recipient, f"Re: {_ORDER}")
    wrote = f"On Mon, 2 Nov 2026 at 09:12, {recipient} wrote:"
    quote = "\n".join(f"> {line}".rstrip() for line in _SHIPPED.splitlines())
    mail.set_content(f"{text}\n\n{name}\n\n{wrote}\n{quote}\n", cte="quoted-printable")
    mail.add_alternative(
        f'<div dir="ltr">{_lines(text)}<br><br>{escape(name)}</div><br>'
        f'<div class="gmail_quote"><div dir="ltr" class="gmail_attr">{escape(wrote)}<br></div>'
        f'<blockquote class="gmail_quote">{_lines(_SHIPPED)}</blockquote></div>',
        subtype="html",
    )
    mail.add_attachment(_PHOTO, maintype="image", subtype="png", filename="fitting.png")
    return mail.as_bytes()


def html_alone(sender: str, name: str, recipient: str, text: str) -> bytes:
    """A question in HTML, without a plain body."""
    mail = _head(sender, name, recipient, "Before I order")
    mail.set_content(
        "<html><head><style>p.MsoNormal {margin: 0}</style></head><body>"
        f'<p class="MsoNormal">{_lines(text)}</p><p class="MsoNormal">&nbsp;</p>'
        f'<p class="MsoNormal">{escape(name)}</p></body></html>',
        subtype="html",
    )
    return mail.as_bytes()


def _head(sender: str, name: str, recipient: str, subject: str) -> EmailMessage:
    mail = EmailMessage(policy.SMTP)
    mail["From"] = Address(name, addr_spec=sender)
    mail["To"] = recipient
    mail["Subject"] = subject
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    return mail


def _lines(text: str) -> str:
    return escape(text).replace("\n", "<br>")
