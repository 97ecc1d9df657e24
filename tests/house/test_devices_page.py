"""``docs/devices.md`` equals the edge's tables, and its vectors decode as it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from edge.decoders import ADVERT_DECODERS, LINE_DECODERS
from edge.decoders.frames import Advert, FrameError
from edge.sources import POLLED

PAGE = (Path(__file__).parents[2] / "docs/devices.md").read_text()
DRIVERS = {*ADVERT_DECODERS, *LINE_DECODERS, *POLLED}


def test_every_driver_has_its_row_and_its_section_and_no_other_has() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    sections = re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(sections) == sorted(DRIVERS)


def test_every_section_names_its_source_and_what_was_never_tried() -> None:
    parts = re.split(r"^### `(\w+)`$", PAGE.partition("## Loggers' files")[0], flags=re.MULTILINE)[1:]
    for driver, section in zip(parts[::2], parts[1::2], strict=True):
        assert "Source: " in section, driver
        assert "Never on hardware: " in section, driver


def test_every_driver_has_a_vector_that_is_taken_and_one_that_is_refused(prose: Any) -> None:
    found = prose.vectors(PAGE)
    for driver in DRIVERS:
        refused = [v.meant.startswith("refused ") for v in found if v.driver == driver]
        assert True in refused, driver
        assert False in refused, driver


def test_the_vectors_decode_as_the_page_says(prose: Any) -> None:
    found = {str(v): (prose.decode(v), prose.plain(v.meant)) for v in prose.vectors(PAGE)}
    assert len(found) > 25
    assert {v: said for v, (said, meant) in found.items() if said != meant} == {}


def test_a_vector_that_lies_is_found(prose: Any) -> None:
    """The test above can fail."""
    lie = PAGE.replace("temperature_c 25.06, humidity_percent 50.55", "temperature_c 25.07, humidity_percent 50.55")
    (vector,) = (v for v in prose.vectors(lie) if "25.07" in v.meant)
    assert prose.decode(vector) != prose.plain(vector.meant)


@pytest.mark.parametrize("driver", sorted(ADVERT_DECODERS))
def test_an_advert_of_another_maker_is_refused_and_an_empty_one_too(driver: str) -> None:
    with pytest.raises(FrameError):
        ADVERT_DECODERS[driver].decode(Advert("A4:C1:38:00:00:01", -60, {}, {0xFFFF: b"\x00"}))


@pytest.mark.parametrize("driver", sorted(LINE_DECODERS))
def test_an_empty_line_is_refused(driver: str) -> None:
    with pytest.raises(FrameError):
        LINE_DECODERS[driver](b"")


def test_the_example_file_names_only_drivers_there_are() -> None:
    text = (Path(__file__).parents[2] / "edge/edge.example.toml").read_text()
    assert set(re.findall(r'^driver = "(\w+)"', text, re.MULTILINE)) <= DRIVERS
