"""Tables of the people room."""

from datetime import datetime

from sqlalchemy.orm import Mapped

from countersign.platform.columns import Tenant, citext, created
from countersign.platform.db import Table


class Person(Tenant, Table):
    """Someone outside; known by an e-mail address, a phone number (E.164) or another handle."""

    __tablename__ = "people"

    name: Mapped[str | None]
    email: Mapped[str | None] = citext()
    phone: Mapped[str | None]
    handle: Mapped[str | None]
    created_at: Mapped[datetime] = created()
    updated_at: Mapped[datetime] = created()


class Suppression(Tenant, Table):
    """An address that must not be written to, and why.

    As `directory.known_as` gives it, and no citext: under row-level security the index serves only
    what compares leakproof.
    """

    __tablename__ = "suppressions"

    address: Mapped[str]
    reason: Mapped[str]
    created_at: Mapped[datetime] = created()
