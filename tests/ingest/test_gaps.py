"""When missing numbers are asked for."""

from __future__ import annotations

from ingest.gaps import GapWatch
from ingest.ledger import EpochKey
from telemetry.contract import decode_request, encode_request
from telemetry.readings import Ranges

KEY = EpochKey("SITE1", "E1", "e1")
GAP = Ranges([(149, 159)])


def watch() -> GapWatch:
    return GapWatch(wait_ms=60, again_ms=600, longest_ms=1_000)


def test_a_gap_is_asked_for_only_when_it_stays() -> None:
    """design.md's request: {"seq": [[149,159]]}."""
    w = watch()
    assert w.due({KEY: GAP}, 0) == []
    assert w.due({KEY: GAP}, 59) == []
    ((key, request),) = w.due({KEY: GAP}, 60)
    assert (key, request.seq, request.only) == (KEY, GAP, "all")
    assert decode_request(encode_request(request)) == request


def test_it_is_asked_again_ever_more_rarely() -> None:
    w = watch()
    asked = [now for now in range(0, 5_000, 10) if w.due({KEY: GAP}, now)]
    assert asked == [60, 660, 1660, 2660, 3660, 4660]


def test_a_gap_that_closes_is_forgotten_and_one_that_shrinks_is_waited_for() -> None:
    w = watch()
    w.due({KEY: GAP}, 0)
    assert w.due({KEY: Ranges([(155, 159)])}, 60) == []  # data are coming
    assert w.due({KEY: Ranges()}, 70) == []
    assert w.due({KEY: GAP}, 200) == []
    assert len(w.due({KEY: GAP}, 260)) == 1


def test_a_gap_that_grows_at_its_end_is_still_asked_for() -> None:
    """Otherwise an edge that keeps producing would never be asked."""
    w = watch()
    w.due({KEY: GAP}, 0)
    ((_, request),) = w.due({KEY: GAP | Ranges([(170, 170)])}, 60)
    assert request.seq == GAP | Ranges([(170, 170)])


def test_a_request_is_bounded() -> None:
    w = GapWatch(wait_ms=0, max_spans=3)
    holes = Ranges([(n, n) for n in range(1, 100, 2)])
    w.due({KEY: holes}, 0)
    ((_, request),) = w.due({KEY: holes}, 1)
    assert request.seq == Ranges([(1, 1), (3, 3), (5, 5)])
