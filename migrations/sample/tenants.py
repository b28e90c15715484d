"""Who and what the sample data is about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from countersign.channels.messages import ChannelType
from countersign.identity.tables import Role
from migrations.events import ChannelGiven, OrganizationGiven, PersonGiven


@dataclass(frozen=True)
class Approval:
    """What the agent sent instead of the draft, and why."""

    final_text: str
    notes: str


@dataclass(frozen=True)
class Conversation:
    """A customer's question and its draft, which quotes an article; still pending if not sent."""

    channel: ChannelType
    customer: str
    customer_name: str
    age: timedelta
    question: str
    article: str
    """The file's name without its ending."""
    quote: str
    draft: str
    sent: Approval | None = None


@dataclass(frozen=True)
class Page:
    """A web page that a crawl found."""

    path: str
    title: str
    content: str


@dataclass(frozen=True)
class Tenant:
    """One organization of the sample; `articles` is its folder of Markdown files."""

    organization: OrganizationGiven
    website: str
    people: tuple[tuple[Role, PersonGiven], ...]
    channels: tuple[ChannelGiven, ...]
    articles: str
    page: Page
    conversations: tuple[Conversation, ...]


def _twilio(type_: ChannelType, external_id: str, name: str) -> ChannelGiven:
    return ChannelGiven(type=type_, provider="twilio", external_id=external_id, name=name)


def _mail(provider: str, external_id: str, name: str) -> ChannelGiven:
    return ChannelGiven(type="email", provider=provider, external_id=external_id, name=name)


HOT_ROD_AN = Tenant(
    organization=OrganizationGiven(slug="hot-rod-an", name="Hot Rod AN"),
    website="https://www.hotrodan.example",
    people=(
        ("admin", PersonGiven(email="rosa@hotrodan.example", display_name="Rosa Delgado")),
        ("agent", PersonGiven(email="miles@hotrodan.example", display_name="Miles Okafor")),
    ),
    channels=(
        _twilio("sms", "+17755550142", "Text messages"),
        _twilio("whatsapp", "whatsapp:+17755550142", "WhatsApp"),
        ChannelGiven(type="api", provider="api", external_id="website", name="Website form"),
        _mail("ses", "support@hotrodan.example", "Hot Rod AN"),
    ),
    articles="hotrodan",
    page=Page(
        path="/pages/about",
        title="About Hot Rod AN",
        content="# About Hot Rod AN\n\nWe have sold AN fittings, hoses and fuel systems from"
        " Sparks, Nevada, since 2009. Everything on our shelves has been on one of our own cars"
        " first.\n",
    ),
    conversations=(
        Conversation(
            channel="whatsapp",
            customer="whatsapp:+14155550133",
            customer_name="Priya N.",
            age=timedelta(hours=26),
            question="Hi! I lost the box of my fittings. Which thread does an AN-8 have?",
            article="thread-chart",
            quote="AN-8 has a 3/4-16 thread.",
            draft="Hello! AN-8 has a 3/4-16 thread.",
            sent=Approval(
                "Hello Priya! AN-8 has a 3/4-16 thread: 3/4 inch outside, 16 threads per inch.",
                "Says what the two numbers mean.",
            ),
        ),
        Conversation(
            channel="sms",
            customer="+12135550178",
            customer_name="",
            age=timedelta(minutes=25),
            question="Can I send back the hose you cut for me last week? I ordered 2 ft too much",
            article="returns",
            quote="Hose that was cut by the foot, hoses made to measure, brake hoses and"
            " electrical parts that have been wired cannot be returned.",
            draft="Hello! Hose that was cut by the foot, hoses made to measure, brake hoses and"
            " electrical parts that have been wired cannot be returned.",
        ),
    ),
)

NORTHWIND_BICYCLES = Tenant(
    organization=OrganizationGiven(slug="northwind-bicycles", name="Northwind Bicycles"),
    website="https://www.northwind.example",
    people=(
        ("admin", PersonGiven(email="ingrid@northwind.example", display_name="Ingrid Solberg")),
        ("agent", PersonGiven(email="tom@northwind.example", display_name="Tom Aho")),
    ),
    channels=(
        _twilio("sms", "+12185550119", "Text messages"),
        _twilio("whatsapp", "whatsapp:+12185550119", "WhatsApp"),
        ChannelGiven(type="api", provider="api", external_id="website", name="Website form"),
        _mail("sendgrid", "hello@northwind.example", "Northwind Bicycles"),
    ),
    articles="northwind",
    page=Page(
        path="/pages/about",
        title="About Northwind Bicycles",
        content="# About Northwind Bicycles\n\nWe build, sell and mend bicycles on the harbour of"
        " Duluth, Minnesota. Every bicycle leaves the shop with a test ride.\n",
    ),
    conversations=(
        Conversation(
            channel="sms",
            customer="+12185550164",
            customer_name="",
            age=timedelta(minutes=50),
            question="How long is the warranty on a steel frame?",
            article="warranty",
            quote="Northwind steel frames have a warranty of 10 years, and aluminium frames have a"
            " warranty of 5 years.",
            draft="Hello! Northwind steel frames have a warranty of 10 years, and aluminium frames"
            " have a warranty of 5 years.",
        ),
    ),
)

TENANTS = (HOT_ROD_AN, NORTHWIND_BICYCLES)
