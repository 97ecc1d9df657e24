"""The image's recipe: pinned, without root, from the locks; its installation steps run here in a fresh environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
STEPS = [line for line in DOCKERFILE.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
COMMANDS = ("up", "ingest", "alerts", "smile", "api", "gateway", "evaluate", "import", "doctor", "ledger", "settings")


def words_of(instruction: str) -> list[list[str]]:
    return [line.split()[1:] for line in STEPS if line.startswith(f"{instruction} ")]


def test_base_images_have_a_version_and_a_distribution() -> None:
    for image, *_ in words_of("FROM"):
        assert re.fullmatch(r"python:3\.11-slim-bookworm", image)


def test_the_image_runs_without_root_as_the_user_that_compose_names() -> None:
    last_stage = STEPS[max(i for i, line in enumerate(STEPS) if line.startswith("FROM ")) :]
    user = [line.split()[1] for line in last_stage if line.startswith("USER ")]
    assert user == ["smile"]
    made = next(line for line in last_stage if "useradd" in line)
    assert "--uid 10001" in made
    assert last_stage.index("USER smile") < next(i for i, s in enumerate(last_stage) if s.startswith("ENTRYPOINT"))


def copied() -> list[str]:
    """Sources that the first stage copies from the repository."""
    return [source for words in words_of("COPY") if not words[0].startswith("--") for source in words[:-1]]


def test_everything_that_is_copied_exists_and_is_let_through_to_docker() -> None:
    allowed = {
        line[1:].removesuffix("*.lock")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line[0] == "!"
    }
    for source in copied():
        assert (ROOT / source).exists(), source
        assert source in allowed or any(source.startswith(a) for a in allowed if a.endswith("/")), source


def test_every_package_of_the_distribution_is_copied() -> None:
    packages = {p.parent.name for p in ROOT.glob("*/__init__.py")}
    assert packages <= set(copied())


def test_nothing_is_installed_without_a_hash() -> None:
    for step in STEPS:
        for command in re.findall(r"pip install ([^&|]*)", step):
            assert "--require-hashes -r requirements/" in command or "--no-deps" in command, command
    for lock in ("server", "edge", "build"):
        text = (ROOT / f"requirements/{lock}.lock").read_text()
        pins = re.findall(r"^[a-z0-9][^ ]*==", text, re.MULTILINE)
        blocks = re.findall(r"^[a-z0-9][^ ]*==.*?\\\n(?:\s+--hash=sha256:[0-9a-f]{64}.*\n)+", text, re.MULTILINE)
        assert pins
        assert len(pins) == len(blocks), lock


@pytest.mark.timeout(600)
@pytest.mark.neighbour("package index")
def test_the_images_steps_install_a_server_that_runs_every_command(tmp_path: Path) -> None:
    """The build stage's RUN lines in a folder that holds only what is copied; then each command from elsewhere."""
    source, home = tmp_path / "src", tmp_path / "opt"
    source.mkdir()
    for name in copied():
        here = ROOT / name
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if here.is_dir():
            shutil.copytree(here, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(here, target)
    build = STEPS[: [i for i, line in enumerate(STEPS) if line.startswith("FROM ")][1]]
    for step in (line.removeprefix("RUN ") for line in build if line.startswith("RUN ")):
        here = step.replace("/opt/smile-iot", str(home)).replace("python -m venv", f"{sys.executable} -m venv")
        # the image is made without a cache; here one spares the index
        done = subprocess.run(
            ["bash", "-c", here.replace("--no-cache-dir", "--quiet")],
            cwd=source,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}"
    environment = {"PATH": "/usr/bin:/bin", "SMILE_IOT_SERVER_DATA_DIR": str(tmp_path / "data")}
    smile_iot = str(home / "bin/smile-iot")
    for command in COMMANDS:
        helped = subprocess.run(
            [smile_iot, command, "--help"], cwd="/", env=environment, capture_output=True, text=True, check=False
        )
        assert helped.returncode == 0, f"{command}: {helped.stderr}"
    # imports are lazy: load what each service is made of, and the data files that must come along in the wheel
    code = (
        "import importlib, sys\n"
        "for m in ('ingest.service', 'ingest.store.influx', 'alerts.service', 'alerts.notify', 'gateway.smile.service',"
        " 'api.service', 'edge.uplink', 'gateway.journal.postgres', 'smile_iot.housekeeping', 'smile_iot.doctor_server',"
        " 'smile_iot.import_command', 'smile_iot.evaluate'): importlib.import_module(m)\n"
        "from alerts.profiles import load_profiles; from alerts.products import builtin_products\n"
        "from gateway.records import open_records\n"
        "assert load_profiles() and builtin_products() is not None\n"
        "open_records(sys.argv[1]).close()\n"
        "import telemetry; print(telemetry.__file__)\n"
    )
    loaded = subprocess.run(
        [str(home / "bin/python"), "-c", code, str(tmp_path / "records.db")], cwd="/", env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert loaded.returncode == 0, loaded.stderr
    assert str(home) in loaded.stdout, "the wheel's own code was loaded"
    assert os.path.getsize(tmp_path / "records.db") > 0
    static = list(home.glob("lib/python3.11/site-packages/api/templates/*.html"))
    assert static, "the pages came along"
