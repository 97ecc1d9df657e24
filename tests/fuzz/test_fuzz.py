"""Whatever arrives: a refusal in the parser's own words, or a fact that goes to the wire and back. The short form.

``make fuzz`` runs the same targets for as long as you like (``long.py``); what it ever found lies in ``found/`` and is
tried here first.
"""

from __future__ import annotations

import random
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from targets import TARGETS, Target, changed  # noqa: E402

# A gateway's CPU is 5 to 10 times slower, and this one may be busy: what takes longer than this is no decoding.
LONGEST_S = 2.0
MOST_BYTES = 32 << 20
CHANGES = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 1 << 16), st.integers(0, 255)), max_size=6)
NAMES = [target.name for target in TARGETS]


def timed(target: Target, data: bytes) -> bool:
    before = time.process_time()
    accepted = target.run(data)
    assert time.process_time() - before < LONGEST_S
    return accepted


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_the_seeds_are_valid(target: Target) -> None:
    """Else the mutations would begin from nothing."""
    assert sum(timed(target, seed) for seed in target.seeds) >= max(1, len(target.seeds) // 3)


@pytest.mark.parametrize("path", sorted((HERE / "found").glob("*-*")), ids=lambda p: p.name)
def test_what_was_found_once_is_mended(path: Path) -> None:
    target = next(t for t in TARGETS if t.name == path.name.partition("-")[0])
    timed(target, path.read_bytes())


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_spoilt_inputs_are_refused_or_go_all_the_way(target: Target) -> None:
    @settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(target.seeds), CHANGES)
    def holds(seed: bytes, changes: list[tuple[int, int, int]]) -> None:
        timed(target, changed(seed, changes))

    holds()


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_any_bytes_are_refused_or_go_all_the_way(target: Target) -> None:
    @settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
    def holds(data: bytes) -> None:
        timed(target, data)

    holds()


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_memory_is_bounded_and_does_not_grow(target: Target) -> None:
    rng = random.Random(target.name)

    def one_round() -> None:
        for _ in range(60):
            changes = [
                (rng.randrange(8), rng.randrange(1 << 16), rng.randrange(256)) for _ in range(rng.randrange(5))
            ]
            target.run(changed(rng.choice(target.seeds), changes))

    one_round()
    tracemalloc.start()
    try:
        one_round()
        before, _ = tracemalloc.get_traced_memory()
        one_round()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES
    assert after - before < 1 << 20
