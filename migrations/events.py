"""What the migrations function can be asked for: one JSON event an action."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from countersign.channels.messages import ChannelType
from countersign.channels.providers import MODULES, provider_module
from countersign.people.directory import kind_of
from countersign.platform.errors import Invalid
from countersign.platform.schemas import faults

Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\S(.*\S)?$")]
Slug = Annotated[str, Field(max_length=63, pattern=r"^[a-z][a-z0-9-]*$")]
Email = Annotated[str, Field(max_length=320, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]
Seconds = Annotated[int, Field(ge=0, le=900)]


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Roles(_Event):
    """Make roles, their passwords and the extensions, as the master user."""

    action: Literal["roles"]


class Upgrade(_Event):
    """Run the revisions of a phase, as `app_owner`."""

    action: Literal["pre", "post"]


class OrganizationGiven(_Event):
    """A tenant to be; the slug is its name in addresses."""

    slug: Slug
    name: Line


class PersonGiven(_Event):
    """Someone of an organization."""

    email: Email
    display_name: Line


class ChannelGiven(_Event):
    """A way in and out: `external_id` is our own address on it.

    `inbound_address` is where a mail channel's mail comes in, where that is another.
    """

    type: ChannelType
    provider: str
    external_id: Line
    inbound_address: Line | None = None
    name: Line

    @model_validator(mode="after")
    def _fits(self) -> ChannelGiven:
        if self.provider not in MODULES:
            raise ValueError(f"provider must be one of {', '.join(MODULES)}")
        types = provider_module(self.provider).TYPES
        if self.type not in types:
            raise ValueError(f"type must be {' or '.join(types)} for {self.provider}")
        if not self.external_id.startswith(types[self.type]):
            raise ValueError(f"external_id must begin with {types[self.type]}")
        if self.type == "email" and kind_of(self.external_id) != "email":
            raise ValueError("external_id must be an e-mail address")
        if self.inbound_address and (self.type, kind_of(self.inbound_address)) != ("email",) * 2:
            raise ValueError("inbound_address must be the e-mail address of a mail channel")
        return self


class Bootstrap(_Event):
    """Make the first organization with an admin, a channel and an API key of the admin's.

    `new_key` makes another key where the first was lost, and revokes that.
    """

    action: Literal["bootstrap"]
    organization: OrganizationGiven
    admin: PersonGiven
    channel: ChannelGiven
    new_key: bool = False


class Sample(_Event):
    """Write the sample data; the options, where given, are set for its organizations."""

    action: Literal["sample"]
    undo_seconds: Seconds | None = None
    debounce_seconds: Seconds | None = None


class VectorIndexes(_Event):
    """Make the indexes of vectors that tenants have outgrown doing without; drop the others."""

    action: Literal["vector_indexes"]


class ReEmbed(_Event):
    """Let every organization move to the embedding model that is configured (docs/runbook.md)."""

    action: Literal["re_embed"]


Event = Roles | Upgrade | Bootstrap | Sample | VectorIndexes | ReEmbed

_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="action")])


def parse(event: dict[str, Any]) -> Event:
    """The event in its shape. Raises `Invalid`, which says of each fault where and what."""
    try:
        return _EVENT.validate_python(event)
    except ValidationError as error:
        # The union puts the action before the rest.
        wrong = faults(error, "event", skip=1)
        said = "; ".join(f"{one['where']}: {one['what']}" for one in wrong)
        raise Invalid(f"The event is not one of this function's. {said}.") from None
