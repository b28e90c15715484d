"""Addresses that are not of the public net are not called, in whatever form."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.platform import addresses
from countersign.platform.addresses import networks, refusal
from countersign.platform.errors import Invalid


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("0.0.0.0", "unspecified"),
        ("10.1.2.3", "private"),
        ("100.100.100.200", "shared"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.255", "loopback"),
        ("168.63.129.16", "a cloud's metadata"),
        ("169.254.169.254", "link-local"),
        ("169.254.170.2", "link-local"),
        ("172.31.255.255", "private"),
        ("192.0.0.192", "reserved"),
        ("192.168.0.1", "private"),
        ("198.19.0.1", "benchmarking"),
        ("203.0.113.7", "documentation"),
        ("224.0.0.251", "multicast"),
        ("255.255.255.255", "reserved"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::7f00:1", "reserved"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::127.0.0.1", "loopback"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("64:ff9b:1::1", "private"),
        ("2002:7f00:1::", "6to4"),
        ("2001::7f00:1", "reserved"),
        ("fd00:ec2::254", "private"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fec0::1", "private"),
        ("ff02::1", "multicast"),
        ("100::1", "reserved"),
        ("4000::1", "reserved"),
        ("2001:db8::1", "documentation"),
    ],
)
def test_what_is_not_public_is_called_by_its_name(address: str, why: str) -> None:
    assert refusal(ip_address(address), 80) == why


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700::1111",
        "64:ff9b::101:101",
        "::ffff:1.1.1.1",
    ],
)
def test_what_is_public_may_be_called_where_the_web_is(address: str) -> None:
    assert refusal(ip_address(address), 443) is None
    assert refusal(ip_address(address), 22) == "port 22"


@given(st.ip_addresses(v=4))
def test_wrapping_makes_no_difference(address: IPv4Address) -> None:
    plain = refusal(address, 80)
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        assert refusal(IPv6Address(int(IPv6Address(prefix)) + int(address)), 80) == plain


@given(st.ip_addresses())
def test_nothing_is_let_through_that_python_does_not_know_as_global(
    address: IPv4Address | IPv6Address,
) -> None:
    inner = addresses._unwrapped(address)
    if refusal(address, 80) is None:
        assert inner.is_global
        assert not inner.is_multicast


def test_a_network_that_is_opened_is_open_whole() -> None:
    opened = networks("127.0.0.0/8, fd00::/8")
    assert refusal(ip_address("127.0.0.1"), 8123, opened) is None
    assert refusal(ip_address("::ffff:127.0.0.1"), 8123, opened) is None
    assert refusal(ip_address("fd00::1"), 22, opened) is None
    assert refusal(ip_address("10.0.0.1"), 80, opened) == "private"


def test_networks_are_listed_in_cidr_notation() -> None:
    assert networks("") == ()
    with pytest.raises(Invalid, match=r"10\.0\.0\.1/8"):
        networks("127.0.0.0/8,10.0.0.1/8")
