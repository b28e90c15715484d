"""Signed mails are read though they are inside CMS; encrypted ones are told from the others."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.mail import cms, sealed, structure
from countersign.mail.reading import contents, read
from tests.unit.timing import seconds

HEAD = b"From: Ann <ann@example.com>\r\nTo: help@example.org\r\nSubject: Hose\r\n"
TEXT = (
    b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\nDer Schlauch ist undicht. Gr\xfc\xdfe\r\n"
)
BOTH = (
    b"Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n" + TEXT + b"--i\r\n"
    b'Content-Type: image/png; name="leak.png"\r\nContent-ID: <leak@x>\r\n'
    b"Content-Transfer-Encoding: base64\r\n\r\niVBORw0=\r\n--i--\r\n"
)
SAID = "Der Schlauch ist undicht. Grüße"


@functools.cache
def person() -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ann")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    made = made.public_key(key.public_key()).serial_number(1)
    now = datetime.now(UTC)
    made = made.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return made.sign(key, hashes.SHA256()), key


def signed(entity: bytes, *options: pkcs7.PKCS7Options) -> bytes:
    builder = pkcs7.PKCS7SignatureBuilder().set_data(entity)
    builder = builder.add_signer(*person(), hashes.SHA256())
    return builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary, *options])


def encrypted(entity: bytes) -> bytes:
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(entity).add_recipient(person()[0])
    return builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])


def packed(der: bytes, kind: str = "signed-data", name: str = "smime.p7m") -> bytes:
    return (
        f"Content-Type: application/pkcs7-mime; smime-type={kind}; name={name}\r\n"
        f"Content-Disposition: attachment; filename={name}\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    ).encode() + base64.encodebytes(der)


def mixed(*parts: bytes, mark: bytes = b"o") -> bytes:
    inner = b"".join(b"--" + mark + b"\r\n" + part + b"\r\n" for part in parts)
    head = b"Content-Type: multipart/mixed; boundary=" + mark + b"\r\n\r\n"
    return head + inner + b"--" + mark + b"--\r\n"


def element(tag: int, *inner: bytes, ends: bool = True) -> bytes:
    """An element with its length, or with a mark at its end (X.690, 8.1.3)."""
    value = b"".join(inner)
    if not ends:
        return bytes([tag, 0x80]) + value + b"\0\0"
    size = (len(value).bit_length() + 7) // 8 or 1
    return bytes([tag, 0x80 | size]) + len(value).to_bytes(size, "big") + value


def in_pieces(entity: bytes, size: int, *, ends: bool, nested: bool = False) -> bytes:
    """A signed message as programs write it that do not know its length before."""
    pieces = [element(0x04, entity[start : start + size]) for start in range(0, len(entity), size)]
    if nested:
        pieces = [element(0x24, piece, ends=ends) for piece in pieces]
    data = element(0x06, bytes.fromhex("2a864886f70d010701"))
    inside = element(0xA0, element(0x24, *pieces, ends=ends), ends=ends)
    algorithms = element(0x31, element(0x30, element(0x05), ends=ends), ends=ends)
    held = (element(0x02, b"\1"), algorithms, element(0x30, data, inside, ends=ends))
    whole = element(0xA0, element(0x30, *held, element(0x31), ends=ends), ends=ends)
    return element(0x30, element(0x06, bytes.fromhex("2a864886f70d010702")), whole, ends=ends)


@pytest.mark.parametrize(
    "der",
    [
        signed(BOTH),
        signed(packed(signed(BOTH))),
        in_pieces(BOTH, 1000, ends=True),
        in_pieces(BOTH, 7, ends=False),
        in_pieces(BOTH, 7, ends=False, nested=True),
    ],
    ids=["DER", "signed twice", "pieces", "pieces without lengths", "nested pieces"],
)
@pytest.mark.parametrize("lists_footer", [False, True])
def test_what_is_signed_is_read_as_if_it_were_not(der: bytes, lists_footer: bool) -> None:
    entity = packed(der)
    if lists_footer:
        entity = mixed(entity, b"Content-Type: text/plain\r\n\r\nThe list's footer")
    raw = HEAD + entity
    mail = read(raw)
    assert mail.text
    assert mail.text.startswith(SAID)
    assert mail.text.endswith("footer") == lists_footer
    (picture,) = mail.parts
    assert (picture.file_name, picture.content_id) == ("leak.png", "leak@x")
    assert dict(contents(raw)) == {picture.index: b"\x89PNG\r"}
    assert (mail.from_[0].name, mail.subject, mail.is_encrypted) == ("Ann", "Hose", False)


def test_a_gateway_may_have_forgotten_the_type() -> None:
    entity = packed(signed(TEXT)).replace(b"application/pkcs7-mime", b"application/octet-stream")
    mail = read(HEAD + entity)
    assert ((mail.text or "").strip(), mail.parts) == (SAID, ())


def test_a_signed_document_is_a_file() -> None:
    document = packed(signed(b"%PDF-1.7\n%"), name="bill.pdf.p7m")
    mail = read(HEAD + mixed(TEXT, document))
    assert [part.file_name for part in mail.parts] == ["bill.pdf.p7m"]
    assert ((mail.text or "").strip(), mail.is_encrypted) == (SAID, False)


def test_a_signature_without_what_is_signed_is_a_file() -> None:
    apart = signed(TEXT, pkcs7.PKCS7Options.DetachedSignature)
    assert cms.read(apart) == cms.Message("signed")
    mail = read(HEAD + packed(apart, "certs-only", "smime.p7c"))
    assert (len(mail.parts), mail.is_encrypted) == (1, False)


ARMORED = b"-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA\r\n-----END PGP MESSAGE-----\r\n"
VERSION = b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
ASC = b"Content-Type: application/octet-stream; name=encrypted.asc\r\n\r\n" + ARMORED
EMPTY = b"Content-Type: text/plain\r\n\r\n \r\n"
PGP = (
    b"Content-Type: multipart/encrypted; protocol=application/pgp-encrypted; boundary=e\r\n\r\n"
    b"--e\r\n" + VERSION + b"--e\r\n" + ASC + b"--e--\r\n"
)
FOOTER = b"Content-Type: text/plain\r\n\r\nThe list's footer\r\n"


@pytest.mark.parametrize(
    ("entity", "files"),
    [
        (packed(encrypted(TEXT), "enveloped-data"), ["smime.p7m"]),
        (packed(b"\x30\x82damaged", "enveloped-data"), ["smime.p7m"]),
        (packed(signed(packed(encrypted(TEXT), "enveloped-data"))), ["smime.p7m"]),
        (mixed(packed(encrypted(TEXT), "enveloped-data"), FOOTER), ["smime.p7m"]),
        (PGP, [None, "encrypted.asc"]),
        (mixed(PGP, FOOTER), [None, "encrypted.asc"]),
        (mixed(EMPTY, VERSION, ASC), [None, "encrypted.asc"]),
        (b"\r\n" + ARMORED, []),
    ],
    ids=[
        "S/MIME", "damaged S/MIME", "signed over it", "S/MIME by a list", "PGP", "PGP by a list",
        "PGP by Exchange", "PGP in the text",
    ],
)  # fmt: skip
def test_what_is_encrypted_is_told_and_its_files_stay(
    entity: bytes, files: list[str | None]
) -> None:
    mail = read(HEAD + entity)
    assert mail.is_encrypted
    assert [part.file_name for part in mail.parts] == files


@pytest.mark.parametrize(
    "entity",
    [
        mixed(TEXT, packed(encrypted(TEXT), "enveloped-data", "contract.pdf.p7m")),
        mixed(TEXT, PGP),
        b"\r\nWhat is this?\r\n" + ARMORED,
        packed(signed(TEXT)),
    ],
    ids=["a file", "PGP as a file", "PGP quoted", "signed"],
)
def test_what_says_something_before_is_not(entity: bytes) -> None:
    mail = read(HEAD + entity)
    assert not mail.is_encrypted
    assert mail.text


@given(st.binary(max_size=200))
def test_any_bytes_are_no_cms_or_harmless(raw: bytes) -> None:
    cms.read(raw)
    cms.read(b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x30\x80" + raw)


@settings(max_examples=200)
@given(st.data())
def test_damaged_ones_are_harmless(data: st.DataObject) -> None:
    made = bytearray(in_pieces(BOTH, 40, ends=data.draw(st.booleans()), nested=True))
    for _ in range(data.draw(st.integers(1, 5))):
        made[data.draw(st.integers(0, len(made) - 1))] = data.draw(st.integers(0, 255))
    raw = HEAD + packed(bytes(made))
    assert [index for index, _ in contents(raw)] == [part.index for part in read(raw).parts]


def in_layers(size: int) -> bytes:
    """One signed in the other, each in binary, so that it hardly shrinks."""
    entity = b"Content-Type: text/plain\r\n\r\n" + b"x" * size
    for _ in range(100):
        entity = b"Content-Type: application/pkcs7-mime\r\n\r\n" + in_pieces(
            entity, len(entity), ends=True
        )
    return entity


BOMBS: dict[str, Callable[[int], bytes]] = {
    "small pieces": lambda size: packed(in_pieces(b"x" * (size // 4), 1, ends=False)),
    "nested without end": lambda size: packed(
        in_pieces(b"", 1, ends=False).replace(b"\x24\x80", b"\x24\x80" * (size // 2))
    ),
    "algorithms without end": lambda size: packed(
        in_pieces(b"", 1, ends=False).replace(b"\x31\x80", b"\x31\x80" * (size // 2))
    ),
    "layers": in_layers,
    "many": lambda size: mixed(*[packed(in_pieces(TEXT, 50, ends=True))] * (size // 300)),
    "many parts": lambda size: packed(
        in_pieces(mixed(*[b"\r\nx"] * (size // 10)), 1000, ends=False)
    ),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_time_grows_with_size_and_not_with_its_square(bomb: Callable[[int], bytes]) -> None:
    quarter, whole = (seconds(read, HEAD + bomb(size), 1) for size in (1 << 17, 1 << 19))
    assert whole < 10
    assert whole < 0.3 or whole < 8 * quarter


def test_no_more_is_opened_than_bytes_are_allowed() -> None:
    raw = HEAD + in_layers(100_000)
    found = structure.split(raw)
    (leaf,) = sealed.open_signed(found, most_bytes=3 * len(raw))
    assert 2 * len(raw) < len(found.raw) <= 3 * len(raw)
    assert leaf.is_cms


def test_no_more_layers_are_opened_than_anybody_makes() -> None:
    mail = read(HEAD + in_layers(100))
    assert [part.content_type for part in mail.parts] == ["application/pkcs7-mime"]


def test_no_more_parts_are_opened_than_a_mail_may_have() -> None:
    half = structure.MOST_ENTITIES // 2
    many = packed(in_pieces(mixed(*[b"\r\nx"] * half), 1000, ends=False))
    mail = read(HEAD + mixed(many, many, mark=b"i"))
    assert [part.file_name for part in mail.parts] == ["smime.p7m"]
    assert (mail.text or "").split() == ["x"] * half
