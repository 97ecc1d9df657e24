"""Which product a pack's GTIN is: said by people or by a loaded file, for one site or for all (cold-chain.md 40)."""

from __future__ import annotations

from gateway.records.checks import check_gtin
from gateway.records.errors import Code, Refused
from gateway.records.kinds import GTIN, SITE
from gateway.records.model import Actor, Change, GtinLink
from gateway.records.part import Part, equal
from gateway.records.tx import Act


class GtinsPart(Part):
    """One link a GTIN and site, and one for all sites. Whether links agree is asked where a pack is scanned (``alerts.scan``)."""

    def link_gtin(self, link: GtinLink, actor: Actor, reason: str, at_ms: int) -> Change:
        """Keep a link, or change one (that takes a reason). A named person says so; raises Refused."""
        if actor.is_system:
            raise Refused(Code.PERSON_REQUIRED, "which vaccine a pack is, is said by a named person", field="actor")
        check_gtin(link)
        with self._write() as tx:
            if link.site:
                tx.need(SITE, link.site)
            return tx.put(GTIN, link, Act(actor, reason, at_ms))

    def gtin_links(self, site: str, gtin: str | None = None) -> list[GtinLink]:
        """What holds at a site: its own links and those for all sites."""
        c = GTIN.table.c
        return self._all(GTIN, c.site.in_((site, "")), *equal(GTIN, gtin=gtin))
