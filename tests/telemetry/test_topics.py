"""Topics: where an edge speaks and listens, and whose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.errors import ContractError
from telemetry.topics import DOWN_KINDS, UP_KINDS, EdgeAddress, parse_up, subscription

LEVELS = st.from_regex(r"[A-Za-z0-9_.\-]{1,64}", fullmatch=True)


@given(LEVELS, LEVELS, LEVELS, st.sampled_from(UP_KINDS))
def test_an_address_comes_back_from_its_topic(shard: str, site: str, edge: str, kind: str) -> None:
    address = EdgeAddress(shard, site, edge)
    assert parse_up(address.up(kind)) == (address, kind)


def test_topics_are_those_of_design_md() -> None:
    address = EdgeAddress("s1", "PKM-1", "E1")
    assert address.up("readings") == "smile-iot/v1/s1/PKM-1/E1/up/readings"
    assert address.down("receipt") == "smile-iot/v1/s1/PKM-1/E1/down/receipt"
    assert subscription("s1") == "smile-iot/v1/s1/+/+/up/+"
    assert subscription() == "smile-iot/v1/+/+/+/up/+"
    assert UP_KINDS == ("readings", "events", "weighings", "hello")
    assert DOWN_KINDS == ("receipt", "request")


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "smile-iot/v1/s1/SITE/E1/up",
        "smile-iot/v1/s1/SITE/E1/up/readings/more",
        "smile-iot/v2/s1/SITE/E1/up/readings",
        "smile-iot/v1/s1/SITE/E1/down/receipt",
        "smile-iot/v1/s1/SITE/E1/up/receipt",
        "smile-iot/v1//SITE/E1/up/readings",
        "smile-iot/v1/s1/SI TE/E1/up/readings",
        "smile-iot/v1/s1/+/E1/up/readings",
        "smile-iot/v1/s1/SITE/E1\n/up/readings",
        "$SYS/broker/version",
    ],
)
def test_other_topics_are_refused(topic: str) -> None:
    with pytest.raises(ContractError) as caught:
        parse_up(topic)
    assert caught.value.reason == "bad_topic"


@given(st.text(max_size=80))
def test_any_text_is_a_topic_of_ours_or_refused(topic: str) -> None:
    try:
        address, kind = parse_up(topic)
    except ContractError:
        return
    assert address.up(kind) == topic


@pytest.mark.parametrize("level", ["", "a/b", "#", "+", "a b", "ä", "x" * 65])
def test_a_level_that_cannot_stand_in_a_topic_makes_no_address(level: str) -> None:
    for parts in ((level, "S", "E"), ("s", level, "E"), ("s", "S", level)):
        with pytest.raises(ContractError):
            EdgeAddress(*parts)


def test_an_edge_has_no_topic_for_what_it_must_not_say() -> None:
    address = EdgeAddress("s1", "S", "E")
    with pytest.raises(ContractError):
        address.up("receipt")
    with pytest.raises(ContractError):
        address.down("readings")
