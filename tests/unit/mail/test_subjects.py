"""What a subject says without marks, and when another one begins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.mail import subjects
from tests.unit.timing import seconds

# fmt: off
PREFIXES = (
    "Re: ", "RE : ", "re:", "Re[2]: ", "Re^3: ", "Re(4): ", "Re*2: ", "RE：", "Re:  Re: ",
    "Aw: ", "AW: AW: ", "Antwort: ", "SV: ", "Sv: ", "VS: ", "Antw: ", "Antw.: ", "RIF: ", "R: ",
    "RES: ", "Odp: ", "Odg: ", "Vá: ", "YNT: ", "Ynt: ", "CVP: ", "ATB: ", "Răsp: ", "ΑΠ: ",
    "Отв: ", "Ответ: ", "Відп: ", "השב: ", "رد: ", "回复：", "回复: ", "回覆：", "答复: ",
    "返信: ", "답장: ", "회신: ", "TL: ", "ตอบกลับ: ",
    "Fwd: ", "FW: ", "Fw: ", "WG: ", "TR : ", "TR: ", "ENC: ", "RV: ", "VB: ", "VL: ", "PD: ",
    "Doorst: ", "I: ", "İLT: ", "ilt: ", "Továbbítás: ", "ΠΡΘ: ", "Пересл: ", "הועבר: ",
    "转发：", "轉寄: ", "転送: ", "전달: ",
    "[EXTERNAL] ", "[SPAM] ", "***SPAM*** ", "{Spam?} ", "[list-name] ", "[#4711] ",
    "[Ticket 12] Re: ", "EXTERNAL: ", "Re: [EXTERNAL] Fwd: [list] RE: ",
    "\u200eRe: ", "Re:\t", "\r\n Re:\r\n ",
)
# fmt: on


@pytest.mark.parametrize("prefix", PREFIXES)
def test_leaves_what_the_person_wrote(prefix: str) -> None:
    assert subjects.base(f"{prefix}Where  is my parcel?") == "Where is my parcel?"


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("", ""),
        ("Re:", ""),
        ("Re: Fwd: ", ""),
        ("[Urgent]", "[Urgent]"),
        ("Re: [Urgent]", "[Urgent]"),
        ("Parcel lost [EXTERNAL]", "Parcel lost"),
        ("Parcel lost (fwd)", "Parcel lost"),
        ("Reply: is it here?", "Reply: is it here?"),
        ("Regarding: the parcel", "Regarding: the parcel"),
        ("Internet: no connection", "Internet: no connection"),
        ("Ref 12: no", "Ref 12: no"),
        ("RE 2000 is broken", "RE 2000 is broken"),
        ("Straße: gesperrt", "Straße: gesperrt"),
    ],
)
def test_base(subject: str, expected: str) -> None:
    assert subjects.base(subject) == expected


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (None, "Where is my parcel?"),
        ("Where is my parcel?", None),
        ("Where is my parcel?", ""),
        ("Where is my parcel?", "Re:"),
        ("(no subject)", "Where is my parcel?"),
        ("Where is my parcel?", "Re: (kein Betreff)"),
        ("Where is my parcel?", "AW: WHERE IS MY PARCEL?"),
        ("Where is my parcel?", "Re: where is my parcel"),
        ("Where is my parcl?", "Re: Where is my parcel?"),
        ("Invoice", "Re: Invoice 4711 is wrong"),
        ("Invoice 4711 is wrong, please help", "Re: Invoice 4711"),
        ("Invoice 4711", "Automatic reply: Invoice 4711"),
        ("Invoice 4711", "Undeliverable: Invoice 4711"),
        ("Invoice 4711", "Invoice 4711 - corrected version"),
        ("Order 123456 has not come", "Order 123465 has not come"),
        ("Order 12345 has not come", "Order 123456 has not come"),
        ("Invoice 4711 of 2026", "Re: Invoice 4711 of 2025"),
        ("Returned shoes, size 42", "Re: The shoes I returned"),
        ("Question", "Question about my delivery"),
        ("Hi", "Shipping to Norway"),
        ("Help needed", "Hilfe needed!"),
        ("Parcel (was: Invoice)", "Re: Parcel (was: Invoice)"),
        ("Parcel (was: Invoice)", "Re: Parcel"),
        ("订单还没有收到", "回复：订单还没有收到"),
        ("订单还没有收到", "订单没有收到"),
        ("Ваш заказ 4711", "Отв: ваш заказ 4711 задержан"),
        ("???", "!!!"),
    ],
)
def test_goes_on(before: str | None, now: str | None) -> None:
    assert not subjects.is_another(before, now)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("Where is my parcel?", "Invoice for March"),
        ("Where is my parcel?", "Re: Cancel the subscription"),
        ("Where is my parcel?", "Cancellation (was: Where is my parcel?)"),
        ("Where is my parcel?", "Re: Cancellation [was: Re: Where is my parcel?]"),
        ("Where is my parcel?", "Cancellation (was Where is my parcel?)"),
        ("Paket verloren", "Kündigung (war: Paket verloren)"),
        ("Question about delivery", "Question about refunds"),
        ("Frage zu meiner Rechnung", "Frage zu Ihren Öffnungszeiten"),
        ("Problem with order 12345", "Problem with order 67890"),
        ("Order HR-100123", "Order HR-100124"),
        ("Invoice INV-2026-0001", "Re: Invoice INV-2026-0002"),
        ("Tea", "Teapots to Norway"),
        ("订单还没有收到", "发票地址错误"),
    ],
)
def test_begins_anew(before: str, now: str) -> None:
    assert subjects.is_another(before, now)


def test_a_remark_in_brackets_is_no_former_subject() -> None:
    assert not subjects.is_another("Meeting on Friday", "Re: Meeting on Friday (was cancelled)")


@given(st.text(max_size=60))
def test_base_of_a_base_is_itself(subject: str) -> None:
    once = subjects.base(subject)
    assert subjects.base(once) == once


@given(st.lists(st.sampled_from(PREFIXES), max_size=5), st.text(max_size=40))
def test_a_prefix_makes_no_other_conversation(prefixes: list[str], subject: str) -> None:
    prefixed = "".join(prefixes) + subject
    assert not subjects.is_another(subject, prefixed)
    assert not subjects.is_another(prefixed, subject)


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_two_subjects_can_be_compared(before: str, now: str) -> None:
    assert subjects.is_another(before, now) in (True, False)
    assert not subjects.is_another(before, before)


def test_a_bomb_costs_little() -> None:
    def compare(bombs: tuple[str, ...]) -> None:
        for bomb in bombs:
            subjects.base(bomb)
            subjects.is_another(bomb, bomb[::-1])

    bombs = (
        "Re: " * 300_000,
        "[x]" * 300_000,
        "(was: " * 200_000,
        "a " * 500_000,
        "[" * 10**6,
    )
    assert seconds(compare, bombs, 1) < 2
