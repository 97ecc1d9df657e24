"""What a Pi gets: the unit that runs the agent, and packages that need no compiler."""

from __future__ import annotations

import configparser
import email
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy/systemd/smile-iot-edge.service"
SMILE_IOT = Path(sys.executable).parent / "smile-iot"
# 64-bit Raspberry Pi OS 12 has glibc 2.36: every manylinux from 2.17 to 2.36 runs on it.
PLATFORMS = [f"manylinux_2_{n}_aarch64" for n in range(36, 16, -1)] + ["manylinux2014_aarch64"]
PI = {"platform_machine": "aarch64", "python_version": "3.11", "python_full_version": "3.11.2"}
LOCKS = ("edge", "build")
MOST_MB = 40


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text())
    return parser


def test_systemd_takes_the_unit_as_it_is(tmp_path: Path) -> None:
    """Only the program's path is this machine's."""
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.fail("systemd-analyze is missing: apt-get install -y --no-install-recommends systemd")
    copy = tmp_path / UNIT.name
    text = UNIT.read_text()
    assert "/opt/smile-iot/bin/smile-iot" in text
    copy.write_text(text.replace("/opt/smile-iot/bin/smile-iot", str(SMILE_IOT)))
    done = subprocess.run([verify, "verify", str(copy)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    copy.write_text(copy.read_text().replace("Restart=always", "Restart=sometimes\nNoSuchKey=1"))
    spoiled = subprocess.run([verify, "verify", str(copy)], capture_output=True, text=True, check=False)
    assert "NoSuchKey" in spoiled.stderr, "verify really reads the unit"


def test_the_unit_starts_the_edge_by_a_command_that_exists() -> None:
    program, *words = unit()["Service"]["ExecStart"].split()
    assert program == "/opt/smile-iot/bin/smile-iot"
    assert words == ["edge", "--config", "/etc/smile-iot/edge.toml"]
    helped = subprocess.run([str(SMILE_IOT), words[0], "--help"], capture_output=True, text=True, check=False)
    assert helped.returncode == 0
    assert words[1] in helped.stdout


def test_the_unit_comes_back_after_a_fault_and_has_few_rights() -> None:
    service = unit()["Service"]
    assert (service["Restart"], service["User"]) == ("always", "smile-iot")
    assert {"bluetooth", "dialout"} == set(service["SupplementaryGroups"].split())
    for key in ("NoNewPrivileges", "ProtectHome", "PrivateTmp"):
        assert service[key] == "yes"
    families = service["RestrictAddressFamilies"].split()
    assert {"AF_UNIX", "AF_INET", "AF_INET6"} <= set(families)  # D-Bus, the broker
    assert "bluetooth.service" in unit()["Unit"]["After"].split()


def test_the_agent_runs_under_the_units_rules(tmp_path: Path) -> None:
    """With the settings of the README: it starts without broker and devices, and ends on SIGTERM as systemd asks."""
    config = tmp_path / "edge.toml"
    config.write_text(f'[edge]\nid = "E1"\nsite = "S"\noutbox = "{tmp_path}/state/outbox.db"\n[mqtt]\nport = 1\n')
    command = [str(SMILE_IOT), *unit()["Service"]["ExecStart"].split()[1:-1], str(config)]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "runs:" in line)
        assert "edge E1 runs: uplink" in line
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()
    assert (tmp_path / "state/outbox.db").exists()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """pip itself resolves the locks for aarch64 and Python 3.11: wheels only, every hash checked."""
    folder = tmp_path_factory.mktemp("wheels")
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    words += ["--only-binary", ":all:", "--require-hashes", "--python-version", "3.11", "--implementation", "cp"]
    for abi in ("cp311", "abi3", "none"):
        words += ["--abi", abi]
    for platform in PLATFORMS:
        words += ["--platform", platform]
    for lock in LOCKS:
        words += ["-r", str(ROOT / f"requirements/{lock}.lock")]
    done = subprocess.run([*words, "-d", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return sorted(folder.iterdir())


def pins() -> dict[str, str]:
    text = "".join((ROOT / f"requirements/{lock}.lock").read_text() for lock in LOCKS)
    return dict(re.findall(r"^([a-z0-9][^ =]*)==([^ ]+)", text, re.MULTILINE))


@pytest.mark.timeout(600)
@pytest.mark.neighbour("package index")
def test_every_package_of_the_edge_has_a_wheel_for_the_pi(
    wheels: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is compiled on a Pi; the sizes are printed."""
    assert len(wheels) == len(pins())
    assert all(w.suffix == ".whl" and w.stem.endswith(("aarch64", "any")) for w in wheels)
    assert any(w.stem.endswith("aarch64") for w in wheels), "at least dbus-fast is machine code"
    total_mb = sum(w.stat().st_size for w in wheels) / 1e6
    with capsys.disabled():
        print(f"\nedge on aarch64: {len(wheels)} wheels, {total_mb:.1f} MB")
        for wheel in wheels:
            print(f"  {wheel.stat().st_size / 1e6:5.2f} MB  {wheel.name}")
    assert total_mb < MOST_MB


@pytest.mark.timeout(600)
@pytest.mark.neighbour("package index")
def test_the_lock_holds_all_that_its_wheels_want_on_a_pi(wheels: list[Path]) -> None:
    """The lock was made on x86-64: no wheel wants another package only because the machine is a Pi."""
    here = {**default_environment(), **PI}
    locked = {canonicalize_name(name): version for name, version in pins().items()}
    wanted = {canonicalize_name(r.name): r for r in map(Requirement, extra_edge()) if holds(r, here)}
    assert wanted
    for wheel in wheels:
        for line in requirements_of(wheel):
            requirement = Requirement(line)
            if holds(requirement, here):
                wanted[canonicalize_name(requirement.name)] = requirement
    for name, requirement in wanted.items():
        assert name in locked, f"{requirement} is not in the lock"
        assert requirement.specifier.contains(locked[name], prereleases=True), f"{requirement}: {locked[name]}"


def extra_edge() -> list[str]:
    body = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found: list[str] = body["project"]["optional-dependencies"]["edge"]
    return found


def holds(requirement: Requirement, environment: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({**environment, "extra": ""})


def requirements_of(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        head = email.message_from_bytes(archive.read(name))
    return list(head.get_all("Requires-Dist") or [])
