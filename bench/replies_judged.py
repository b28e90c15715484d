"""Which lines of crisp's fixtures their writers wrote, where its own tests assert only a part.

Judged by hand; several answers where a signature or a closing may stay or go.
"""

from __future__ import annotations

Lines = tuple[tuple[int, int], ...]
"""First and last, from 1; none means all of them."""

JUDGED: dict[str, tuple[Lines, ...]] = {
    "correct_sig": (((1, 1),),),
    "email_1": (((1, 7),), ((1, 5),)),
    "email_19": (((1, 1),), ((1, 3),)),
    "email_20": (((1, 1),),),
    "email_21": ((),),
    "email_2_1": (((1, 1),),),
    "email_3": (((1, 5),), ((1, 3),)),
    "email_4": (((1, 1),),),
    "email_5": ((),),
    "email_6": (((1, 1),), ((1, 3),)),
    "email_blackberry": (((1, 1),),),
    "email_bullets": (((1, 9),),),
    "email_custom_quote_header": (((1, 1),),),
    "email_customer_quote_header_2": (((1, 1),),),
    "email_customer_quote_header_3": (((1, 3),),),
    "email_emoji": ((), ((1, 1),)),
    "email_iphone": (((1, 1),),),
    "email_multi_word_sent_from_my_mobile_device": (((1, 1),),),
    "email_not_a_signature": ((), ((1, 13),)),
    "email_not_a_signature_2": ((), ((1, 8),)),
    "email_one_is_not_on": (((1, 5),),),
    "email_reply_header": (((1, 11),), ((1, 9),)),
    "email_sent_from": (((1, 1),),),
    "email_sent_from_my_not_signature": ((),),
    "email_thread": (((1, 1),),),
    "email_tricky_11_double_signature": (((1, 1),), ((1, 4),)),
    "email_tricky_13_timestamp_variations": ((),),
    "email_tricky_16_unicode_signatures": (((1, 1),), ((1, 4),), ()),
    "email_tricky_17_forward_header": (((1, 1),), ()),
    "email_tricky_1_on_false_positive": ((),),
    "email_tricky_20_html_entities": (((1, 3),),),
    "email_tricky_2_url_with_wrote": ((), ((1, 5),)),
    "email_tricky_3_code_block": ((),),
    "email_tricky_4_from_in_body": ((),),
    "email_tricky_6_regards_in_sentence": ((),),
    "email_tricky_7_multiple_dashes": ((),),
    "email_tricky_8_sent_from_in_content": ((),),
    "email_tricky_9_nested_quotes": (((1, 1),),),
    "email_unquoted_reply": (((1, 1),),),
    "email_with_date_headers": (((1, 1),), ()),
    "email_with_regards": (((1, 5),), ((1, 8),), ()),
    "email_zoho": (((1, 2),),),
    "sig_no_empty_line": (((1, 1),),),
}

INTERLEAVED: dict[str, Lines] = {
    "email_2": ((1, 1), (9, 31)),
    "email_tricky_18_inline_reply": ((4, 4), (8, 8), (12, 12)),
    "email_tricky_19_quote_without_header": ((1, 1), (7, 7), (12, 12)),
}
