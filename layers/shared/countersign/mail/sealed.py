"""Mails whose body is inside a cryptographic message: signed ones are opened, encrypted ones told.

Signatures are not verified: what is said in a signed mail counts as much as in any other.
"""

from __future__ import annotations

from countersign.mail import cms, leaves, parameters, structure
from countersign.mail.leaves import Leaf
from countersign.mail.structure import Structure

MOST_LAYERS = 4
"""One in the other; who signs what is signed already (RFC 2634, 1.1) has two."""
MOST_OPENED = 20
"""In each layer."""
_ARMOR = "-----BEGIN PGP MESSAGE-----"


def open_signed(found: Structure, most_bytes: int) -> list[Leaf]:
    """Put what is signed in place of what holds it (application/pkcs7-mime, RFC 8551, 3.5.2); the
    leaves that there are then.

    What was signed must be a MIME entity: signed documents are files, and stay so. Bytes are added
    to the structure's up to `most_bytes`.
    """
    every = leaves.find(found)
    for _ in range(MOST_LAYERS):
        holders = [leaf for leaf in every if leaf.is_cms][:MOST_OPENED]
        opened = [_open(found, leaf, most_bytes) for leaf in holders]
        if not any(opened):
            break
        every = leaves.find(found)
    return every


def _open(found: Structure, leaf: Leaf, most_bytes: int) -> bool:
    message = cms.read(leaves.content(found, leaf)[0])
    if message is None or not message.content:
        return False
    if len(found.raw) + len(message.content) > most_bytes:
        return False
    inner = structure.split(message.content)
    if not inner.entities[0].value("content-type"):
        return False
    return structure.graft(found, leaf.number, inner)


def is_encrypted(found: Structure, leaf: Leaf, raw: bytes) -> bool:
    """Whether a part, with its decoded bytes, is what nobody reads without a key: S/MIME, or
    OpenPGP (RFC 3156, 4), also where Exchange has made it multipart/mixed."""
    entity = found.entities[leaf.number]
    if leaf.content_type == "application/pgp-encrypted":
        return True
    if entity.parent >= 0 and found.entities[entity.parent].content_type == "multipart/encrypted":
        return True
    if not leaf.is_cms:
        return False
    message = cms.read(raw)
    if message:
        return message.kind == "encrypted"
    return "enveloped" in parameters.token(entity.parameters.get("smime-type")).lower()


def is_armored(text: str) -> bool:
    """Whether a text is an encrypted one (RFC 9580, 6.2), and not one that speaks of it."""
    return text.lstrip().startswith(_ARMOR)
