"""Which product a pack's GTIN is (cold-chain.md 40)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.records import Actor, Change, Code, GtinLink, Refused, UnknownRecord

LINK = GtinLink("08991234000015", "93001284", "Pentabio", "S1")
SARI = Actor("Sari", "manager")


def test_req_40_a_link_is_kept_with_who_said_so_and_changed_with_a_reason(world: Any) -> None:
    r = world.records
    assert r.link_gtin(LINK, SARI, "from the carton", 5) is Change.CREATED
    assert r.link_gtin(LINK, SARI, "", 6) is Change.UNCHANGED
    other = replace(LINK, product_kfa="93001283")
    with pytest.raises(Refused) as refused:
        r.link_gtin(other, SARI, " ", 7)
    assert refused.value.code is Code.REASON_REQUIRED
    assert r.link_gtin(other, SARI, "five doses, not ten", 8) is Change.CHANGED
    rows = r.audit_of("gtin:08991234000015/S1")
    assert [(a.action, a.actor, a.reason) for a in rows] == [
        ("gtin_created", "Sari", "from the carton"),
        ("gtin_changed", "Sari", "five doses, not ten"),
    ]
    assert r.verify_chain("S1").ok


def test_a_site_sees_its_own_links_and_those_for_all(world: Any, second_site: Any) -> None:
    r = world.records
    second_site(r)
    everywhere = replace(LINK, site="")
    elsewhere = replace(LINK, site="S2")
    for link in (LINK, everywhere, elsewhere):
        r.link_gtin(link, SARI, "", 5)
    assert r.gtin_links("S1", LINK.gtin) == [everywhere, LINK]
    assert r.gtin_links("S1", "08991234000022") == []
    assert r.verify_chain("-").ok


@pytest.mark.parametrize(
    ("link", "field"),
    [
        (replace(LINK, gtin="08991234000016"), "gtin"),
        (replace(LINK, gtin="8991234000015"), "gtin"),
        (replace(LINK, product_kfa="/"), "product_kfa"),
        (replace(LINK, product_name=" "), "product_name"),
    ],
)
def test_req_40_a_wrong_check_digit_or_code_is_refused(world: Any, link: GtinLink, field: str) -> None:
    with pytest.raises(Refused) as refused:
        world.records.link_gtin(link, SARI, "", 5)
    assert (refused.value.code, refused.value.field) == (Code.BAD_VALUE, field)


def test_a_link_needs_a_person_and_a_site_that_is_there(world: Any) -> None:
    with pytest.raises(Refused) as refused:
        world.records.link_gtin(LINK, Actor.system("alerts"), "", 5)
    assert refused.value.code is Code.PERSON_REQUIRED
    with pytest.raises(UnknownRecord):
        world.records.link_gtin(replace(LINK, site="S9"), SARI, "", 5)
