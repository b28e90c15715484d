"""What mail systems say about mails that did not arrive, in their many ways."""

from __future__ import annotations

from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.mail.automatic import silence
from countersign.mail.bounces import Bounce, bounces
from countersign.mail.model import Address, Mail, Report
from countersign.mail.reading import read
from countersign.mail.verdicts import Verdicts
from tests.unit.timing import seconds

ORIGINAL = """\
Return-Path: <support@shop.example>
From: Shop <support@shop.example>
To: jane@customer.example
Subject: Re: My order
Message-ID: <ours-1@shop.example>
X-Countersign-Delivery: 0192f0c1
"""


def report(
    *groups: str, text: str = "It could not be delivered.", original: str = ORIGINAL
) -> bytes:
    """A delivery report (RFC 3464) with these groups of recipient fields."""
    status = "\n\n".join(["Reporting-MTA: dns; mx.example", *groups])
    return f"""\
Return-Path: <>
From: Mail Delivery System <MAILER-DAEMON@mx.example>
To: support@shop.example
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

{text}

--b
Content-Type: message/delivery-status

{status}

--b
Content-Type: text/rfc822-headers

{original}
--b--
""".encode()


def failed(recipient: str = "jane@customer.example", status: str = "5.1.1", said: str = "") -> str:
    diagnostic = f"\nDiagnostic-Code: smtp; {said}" if said else ""
    return f"Final-Recipient: rfc822; {recipient}\nAction: failed\nStatus: {status}{diagnostic}"


def notice(
    text: str,
    *,
    sender: str = "MAILER-DAEMON@mx.example",
    subject: str = "Returned mail",
    headers: str = "",
) -> bytes:
    """What systems write that do not know RFC 3464."""
    head = f"From: {sender}\nTo: support@shop.example\nSubject: {subject}\n{headers}\n"
    return (head + dedent(text)).encode()


def only(raw: bytes) -> Bounce:
    (found,) = bounces(read(raw))
    return found


def test_a_delivery_report() -> None:
    said = "550 5.1.1 <jane@customer.example>: Recipient address rejected: User unknown"
    found = only(report(failed(said=said)))
    assert (found.recipient, found.kind, found.code) == ("jane@customer.example", "hard", "5.1.1")
    assert found.reason == said
    assert found.original_message_id == "ours-1@shop.example"
    assert found.original["x-countersign-delivery"] == ("0192f0c1",)


def test_only_what_failed_is_a_bounce() -> None:
    groups = [failed("a@customer.example")]
    for action in ("delayed", "Delivered", "relayed (to non-DSN-aware mailer)", "expanded"):
        groups.append(
            f"Final-Recipient: rfc822; x@customer.example\nAction: {action}\nStatus: 4.4.7"
        )
    # Postfix answers "may it be delivered?" this way.
    groups.append("Final-Recipient: rfc822; y@b.example\nAction: deliverable\nStatus: 2.1.5")
    assert only(report(*groups)).recipient == "a@customer.example"
    assert bounces(read(report(*groups[1:]))) == ()


def test_the_recipient_is_the_one_we_wrote_to() -> None:
    group = "Original-Recipient: rfc822;jane@customer.example\n" + failed("j.doe@mail.example")
    assert only(report(group)).recipient == "jane@customer.example"


def test_each_recipient_once_with_its_own_reason() -> None:
    text = """\
        <a@customer.example>: host mx said: 550 5.1.1 User unknown
        <b@customer.example>: host mx said: 552 5.2.2 Mailbox full
    """
    found = bounces(
        read(
            report(
                failed("a@customer.example", "5.0.0"),
                failed("b@customer.example", "5.0.0"),
                failed("A@customer.example"),
                text=dedent(text),
            )
        )
    )
    assert [(one.recipient, one.kind, one.code) for one in found] == [
        ("a@customer.example", "hard", "5.1.1"),
        ("b@customer.example", "soft", "5.2.2"),
    ]


NOTICES = {
    "Exim": (
        """\
        A message that you sent could not be delivered to one or more of its
        recipients. This is a permanent error. The following address(es) failed:

          jane@customer.example
            SMTP error from remote mail server after RCPT TO:<jane@customer.example>:
            host mx.customer.example [192.0.2.1]: 550 5.1.1 <jane@customer.example>:
            Recipient address rejected: User unknown

        ------ This is a copy of the message, including all the headers. ------

        """,
        ("hard", "5.1.1"),
    ),
    "qmail": (
        """\
        Hi. This is the qmail-send program at mx.example.
        I'm afraid I wasn't able to deliver your message to the following addresses.
        This is a permanent error; I've given up. Sorry it didn't work out.

        <jane@customer.example>:
        192.0.2.1 does not like recipient.
        Remote host said: 552 Error: disk quota exceeded
        Giving up on 192.0.2.1.

        --- Below this line is a copy of the message.

        """,
        ("soft", None),
    ),
    "Sendmail": (
        """\
        The original message was received at Thu, 29 Apr 2012 23:45:10 +0900

           ----- The following addresses had permanent fatal errors -----
        <jane@customer.example>

           ----- Transcript of session follows -----
        ... while talking to mx.customer.example.:
        >>> MAIL From:<support@shop.example>
        <<< 550 5.7.1 Your IP is on our black list
        554 5.0.0 Service unavailable

           ----- Original message follows -----

        """,
        ("soft", "5.7.1"),
    ),
    "Exchange 2003": (
        """\
        Your message

          To:      other@customer.example
          Subject: Re: My order

        did not reach the following recipient(s):

        jane@customer.example on Thu, 29 Apr 2010 00:00:00 -0000
            The recipient name is not recognized

        Original message

        """,
        ("hard", None),
    ),
    "DragonFly": (
        """\
        There was an error delivering your mail to <jane@customer.example>.

        DNS lookup failure: host customer.example not found

        Message headers follow.

        """,
        ("hard", None),
    ),
    "a report as text": (
        """\
        An error occurred while trying to deliver the mail.

        Action: failed
        Final-Recipient: rfc822; jane@customer.example
        Diagnostic-Code: smtp; 451 4.7.1 Greylisted, try again later
        Status: 4.7.1

        Original message:

        """,
        ("soft", "4.7.1"),
    ),
}


@pytest.mark.parametrize("system", NOTICES)
def test_notices_as_text(system: str) -> None:
    text, expected = NOTICES[system]
    found = only(notice(dedent(text) + ORIGINAL))
    assert found.recipient == "jane@customer.example"
    assert (found.kind, found.code) == expected
    assert found.original_message_id == "ours-1@shop.example"
    assert found.original["x-countersign-delivery"] == ("0192f0c1",)


def test_notices_in_html() -> None:
    html = """
        <html><head><style>p { } to x@style.example</style></head><body>
        <p>Your message to <b>jane@customer.example</b> couldn't be delivered.</p>
        <p>jane wasn't found at customer.example.<br>550&nbsp;5.1.10 Recipient not found</p>
    """
    found = only(notice(html, headers="Content-Type: text/html\n"))
    assert (found.recipient, found.kind, found.code) == ("jane@customer.example", "hard", "5.1.10")


def test_gmail_names_the_recipient_in_a_header() -> None:
    headers = "X-Failed-Recipients: jane@customer.example\n"
    found = only(notice("Delivery failed.", sender="a@gmail.example", headers=headers))
    assert (found.recipient, found.kind) == ("jane@customer.example", "soft")


def test_a_notice_that_names_nobody_is_about_the_mail_it_returns() -> None:
    text = "Your mail could not be delivered.\n\n--- Original message ---\n\n" + ORIGINAL
    assert only(notice(text)).recipient == "jane@customer.example"


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        ("5.1.1", "", "hard"),
        ("5.1.2", "Bad destination system address", "hard"),
        ("5.1.6", "Destination mailbox has moved", "hard"),
        ("5.4.4", "Name service error: Host not found", "hard"),
        ("5.0.0", "550 No such user here", "hard"),
        ("5.5.0", "550 Requested action not taken: mailbox unavailable", "hard"),
        ("5.4.1", "550 5.4.1 Recipient address rejected: Access denied", "hard"),
        ("5.2.2", "552 5.2.2 Mailbox full", "soft"),
        ("5.1.1", "550 5.1.1 rejected: your host is on a black list", "soft"),
        ("5.7.1", "550 5.7.1 Message rejected due to local policy", "soft"),
        ("5.7.26", "550-5.7.26 Unauthenticated: DMARC policy", "soft"),
        ("5.1.8", "553 5.1.8 Domain of sender address does not exist", "soft"),
        ("5.3.4", "552 5.3.4 Message too big for system", "soft"),
        ("5.0.0", "550 User unknown (in reply to end of DATA command)", "soft"),
        ("4.4.7", "Delivery expired", "soft"),
        ("4.1.1", "450 4.1.1 User unknown", "soft"),
        ("5.0.0", "", "soft"),
        # Neither the recipient's name nor its domain is a reason.
        ("5.1.1", "550 5.1.1 <spam@relay.quota.example> not here", "hard"),
    ],
)
def test_hard_is_only_what_no_mail_will_ever_reach(status: str, said: str, kind: str) -> None:
    assert only(report(failed(status=status, said=said))).kind == kind


def test_the_reason_is_short_and_printable() -> None:
    group = failed(said="550 5.1.1 no\x00such\x1b[31m user " + "x" * 2_000)
    mail = Mail(
        report=Report(
            "delivery-status",
            (dict(line.split(": ", 1) for line in group.lower().split("\n")),),
        )
    )
    (found,) = bounces(mail)
    assert found.reason is not None
    assert found.reason.startswith("550 5.1.1 no such [31m user xxx")
    assert len(found.reason) == 500
    assert found.reason.isprintable()


DELAYS = (
    "THIS IS A WARNING MESSAGE ONLY.\nDelivery to jane@customer.example has been delayed.",
    "A message to jane@customer.example has not been delivered.\n"
    "Delivery attempts will continue for some time.",
    "There was a temporary problem delivering your message to jane@customer.example."
    " Gmail will retry for 47 more hours.",
)


@pytest.mark.parametrize("text", DELAYS)
def test_delays_are_no_bounces(text: str) -> None:
    assert bounces(read(notice(text))) == ()


@pytest.mark.parametrize(
    "raw",
    [
        notice("My parcel came back, send it to bob@customer.example", sender="jane@example.com"),
        # Somebody shows us what they got.
        notice(
            "> 550 5.1.1 <bob@customer.example>: User unknown",
            sender="jane@example.com",
            headers="Return-Path: <jane@example.com>\n",
        ),
        # Who is away names a colleague.
        notice(
            "I am away, please write to bob@customer.example",
            sender="jane@example.com",
            subject="Automatic reply: My order",
            headers="Return-Path: <>\n",
        ),
    ],
)
def test_people_report_nothing(raw: bytes) -> None:
    assert bounces(read(raw)) == ()


@pytest.mark.parametrize("kind", ["disposition-notification", "feedback-report"])
def test_receipts_and_complaints_are_others(kind: str) -> None:
    group = {"final-recipient": "rfc822;jane@customer.example", "disposition": "x; displayed"}
    mail = Mail(from_=(Address("", "postmaster@mx.example"),), report=Report(kind, (group,)))
    assert bounces(mail) == ()


def test_people_and_companies_with_such_names_are_no_mail_systems() -> None:
    for sender in (
        "Bounce <jane@bounce.example>",
        "Daemon Targaryen <d@dragon.example>",
        "Bob <postmaster@b.example>",
    ):
        text = "Where is it? My other address is j@b.example"
        mail = read(notice(text, sender=sender, subject="My order"))
        assert bounces(mail) == ()
        assert silence(mail, Verdicts()) is None


def test_what_a_mail_system_writes_is_not_answered() -> None:
    for sender in ("MAILER-DAEMON", '"Mail Delivery System" <x@mx.example>', "Mail System <>"):
        assert silence(read(notice("Sorry.", sender=sender)), Verdicts()) == "bounce"


WORDS = st.lists(
    st.sampled_from(
        [
            "550 5.1.1",
            "<a@b.example>",
            "a@b.example:",
            "\n",
            "Final-Recipient: rfc822;",
            "To:",
            "\x00",
        ]
    )
    | st.text(max_size=12),
    max_size=30,
).map(" ".join)


@given(
    text=WORDS,
    subject=WORDS,
    status=st.lists(st.dictionaries(WORDS, WORDS, max_size=3), max_size=3),
)
def test_any_mail_can_be_looked_at(text: str, subject: str, status: list[dict[str, str]]) -> None:
    groups = tuple({"final-recipient": text, **group} for group in status)
    for one in (Report("delivery-status", groups), None):
        mail = Mail(
            subject=subject,
            text=text,
            html=text,
            from_=(Address(text, "postmaster@b.example"),),
            headers={"x-failed-recipients": (text,), "from": (text,)},
            report=one,
        )
        for found in bounces(mail):
            assert "@" in found.recipient
            assert found.reason is None or len(found.reason) <= 500


def test_a_bomb_costs_little() -> None:
    def look(bombs: tuple[str, ...]) -> None:
        for bomb in bombs:
            headers = {"from": (bomb,), "x-failed-recipients": (bomb,)}
            said = {"diagnostic-code": bomb, "status": bomb}
            groups = ({"final-recipient": f"a{number}@b.example", **said} for number in range(300))
            fields = Report("delivery-status", tuple(groups))
            for one in (Mail(text=bomb), Mail(html=bomb), Mail(text=bomb, report=fields)):
                mail = Mail(text=one.text, html=one.html, report=one.report, headers=headers)
                assert len(bounces(mail)) <= 100

    many = "".join(f"<a{number}@b.example>: 550 no such user\n" for number in range(50_000))
    assert seconds(look, (many, "a@" + "b." * 500_000, "user " * 200_000), 1) < 5
