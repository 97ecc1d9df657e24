"""A plan is checked before anything starts, and every complaint names the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.__main__ import main
from firmware_sim.faults import ENDS, FaultBook, FaultKind
from firmware_sim.plan import DeviceKind, PlanError, parse_plan


def test_defaults_are_filled_in(plan: dict[str, Any]) -> None:
    plan["faults"] = [{"at_s": 7200, "do": "mains_off", "equipment": "fridge-1", "for_s": 100}]
    plan["loads"] = [{"at_s": 20, "device": "SC-0001", "mass_kg": "5.40", "bag": "000120082026"}]
    read = parse_plan(plan)
    assert read.equipment[0].leak_tau_s == 18_000
    assert read.loads["SC-0001"][0].hold_s == 600
    book = FaultBook(list(read.faults))
    assert [book.is_on(FaultKind.MAINS_OFF, "fridge-1", s) for s in (7199, 7200, 7299, 7300)] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"seed": "x"}, "seed: must be a number"),
        ({"clock": {"speed": 0}}, "clock.speed: must be from 0.001"),
        ({"clock": {"sped": 1}}, "clock: unknown: sped"),
        ({"equipment": [{"setpoint_c": 4, "ambient_c": 30}]}, "equipment[0]: 'id' is missing"),
        ({"devices": [{"serial": "A", "kind": "toaster"}]}, "devices[0].kind: must be one of bthome, ruuvi"),
        (
            {"faults": [{"at_s": 0, "do": "mains_off", "equipment": "x"}]},
            "faults[0].equipment: there is no equipment",
        ),
        ({"faults": [{"at_s": 0, "do": "unplug", "device": "BT-0001"}]}, "BT-0001 (bthome) cannot have unplug"),
        ({"faults": [{"at_s": 0, "do": "explode"}]}, "faults[0].do: must be one of"),
        ({"loads": [{"at_s": 0, "device": "BT-0001", "mass_kg": 1}]}, "loads[0].device: BT-0001 (bthome) is not a"),
        ({"loads": [{"at_s": 0, "device": "SC-0001", "mass_kg": "heavy"}]}, "loads[0].mass_kg: must be a decimal"),
        (
            {"loads": [{"at_s": 0, "device": "SC-0001", "mass_kg": 2, "tare_kg": 1}]},
            "loads[0].tare_kg: only an mt_sics scale tares",
        ),
        ({"colour": "blue"}, "unknown: colour"),
    ],
)
def test_a_mistake_is_named(plan: dict[str, Any], change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse_plan(plan | change)
    assert complaint in str(caught.value)


def test_a_logger_needs_its_equipment_and_a_unique_serial(plan: dict[str, Any]) -> None:
    plan["devices"].append(dict(plan["devices"][0]))
    with pytest.raises(PlanError, match="used twice"):
        parse_plan(plan)
    plan["devices"] = [plan["devices"][0] | {"equipment": "attic"}]
    with pytest.raises(PlanError, match="there is no equipment 'attic'"):
        parse_plan(plan)


def test_a_bad_plan_ends_the_program_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"equipment": 5}))
    assert main(["--plan", str(path), "--out", str(tmp_path)]) == 2
    assert "equipment: must be a list" in capsys.readouterr().err
    assert main(["--plan", str(tmp_path / "none.json"), "--out", str(tmp_path)]) == 2
    path.write_text("{")
    assert main(["--plan", str(path), "--out", str(tmp_path)]) == 2


README = Path(__file__).parents[2] / "firmware_sim" / "README.md"


def test_the_readmes_plan_is_a_plan() -> None:
    text = README.read_text()
    example = text[text.index("```json") + 7 : text.index("```\n", text.index("```json") + 7)]
    read = parse_plan(json.loads(example))
    assert {device.kind for device in read.devices} == set(DeviceKind)
    assert len(read.faults) == 3


@pytest.mark.parametrize("word", [*FaultKind, *ENDS])
def test_the_readme_names_every_fault_and_what_ends_it(word: str) -> None:
    assert f"`{word}`" in README.read_text()


def test_a_folder_too_deep_for_a_socket_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.json"
    path.write_text("{}")
    assert main(["--plan", str(path), "--out", str(tmp_path / ("deep" * 25))]) == 2
    assert "is longer than 107 bytes" in capsys.readouterr().err
