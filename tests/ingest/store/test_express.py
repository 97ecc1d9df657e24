"""The short way to InfluxDB finds what the general way finds: the same lines, in any mixture of usual and odd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.store.express import Span, express
from ingest.store.identity import divide
from ingest.store.line_protocol import lines_of
from ingest.store.model import MILLI_END, Said, StreamBatch
from telemetry.readings import Origin, Quality, Sync

T0 = 1_790_000_000_000
NAMES = ("T1/temperature_c", "T2/temperature_c", "T3/humidity_percent")
MARKS = {"T1/temperature_c": T0 + 2, "T2/temperature_c": -1}
SPANS: dict[str, Span] = dict.fromkeys(NAMES, ("SITE1", T0, T0 + 20))


class Held:
    """A store that holds nothing below its marks."""

    def mark(self, stream_id: str, *, numbered: bool) -> int:
        return -1 if numbered else MARKS.get(stream_id, -1)

    def at_times(self, stream_id: str, times: Sequence[int]) -> Mapping[int, list[Said]]:
        return {}

    def at_numbers(self, stream_id: str, numbers: Sequence[int]) -> Mapping[int, list[Said]]:
        return {}


@st.composite
def batches(draw: st.DrawFn) -> StreamBatch:
    count = draw(st.integers(0, 4))
    times = draw(st.lists(st.integers(T0, T0 + 22), min_size=count, max_size=count))
    if draw(st.integers(0, 3)):
        times = sorted(times)
    rare = st.integers(0, 12).map(lambda n: n == 0)
    odd_values = st.sampled_from([None, MILLI_END, -MILLI_END, 1 - MILLI_END])
    values = [draw(odd_values) if draw(rare) else draw(st.integers(-5, 5)) * 125 for _ in times]
    return StreamBatch(
        "SITE2" if draw(rare) else "no site" if draw(rare) else "SITE1",
        "T1/colour" if draw(rare) else draw(st.sampled_from(NAMES)),
        "E1",
        draw(st.sampled_from(["ep1", "ep 1"])),
        Sync.UNSYNCED if draw(rare) else Sync.SYNCED,
        Origin.FILE if draw(rare) else Origin.LIVE,
        draw(st.sampled_from([None, 50])),
        T0 + 60_000,
        list(range(1, count + 1)),
        times,
        values,
        list(range(count)) if draw(rare) else None,
        {0: Quality.UNSTABLE} if count and draw(rare) else {},
    )


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.lists(batches(), max_size=6))
def test_short_and_general_way_together_write_what_the_general_way_writes(given_batches: list[StreamBatch]) -> None:
    whole = divide(given_batches, Held())
    short = express(given_batches, MARKS, SPANS)
    rest = divide(short.rest, Held())
    general = [line for fresh in whole.fresh for line in lines_of(fresh)]
    lines = [line for text in short.texts for line in text.split("\n")]
    assert sorted(lines + [line for fresh in rest.fresh for line in lines_of(fresh)]) == sorted(general)
    assert (rest.duplicates, rest.conflicts) == (whole.duplicates, whole.conflicts)
    assert sorted(rest.rejected, key=repr) == sorted(whole.rejected, key=repr)
    assert short.marks == {b.stream_id: b.t_ms[-1] for b in short.batches}
    assert [line for fresh in short.fresh(0, len(short.batches)) for line in lines_of(fresh)] == lines


def test_live_readings_take_the_short_way_until_one_of_their_stream_is_odd() -> None:
    def batch(t_ms: int, name: str = NAMES[0]) -> StreamBatch:
        site, sync, live = "SITE1", Sync.SYNCED, Origin.LIVE
        return StreamBatch(site, name, "E1", "ep1", sync, live, 50, T0, [1, 2], [t_ms, t_ms + 1], [4060, 5000])

    calm = [batch(T0 + 3), batch(T0 + 5), batch(T0 + 3, NAMES[1])]
    assert express(calm, MARKS, SPANS).batches == calm
    late = batch(T0)
    mixed = express([*calm, late], MARKS, SPANS)
    assert mixed.batches == calm[2:]
    assert mixed.rest == [*calm[:2], late]
    assert mixed.marks == {NAMES[1]: T0 + 4}
    unknown = replace(batch(T0 + 3), stream_id=NAMES[2])
    assert express([unknown], MARKS, SPANS).rest == [unknown]
