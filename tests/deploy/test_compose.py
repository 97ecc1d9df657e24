"""docker-compose.yml: understood by docker-compose itself, closed to the outside, nothing left to chance."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

OURS = ("ingest", "alerts", "smile", "api")
THEIRS = ("mosquitto", "influxdb", "postgres", "grafana")


def test_docker_compose_understands_the_file(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {*OURS, *THEIRS}


def test_every_image_has_a_version(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        tag = service["image"].rpartition(":")[2]
        assert re.match(r"\d", tag), f"{name}: {service['image']}"


def test_every_service_is_watched_and_started_again(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["healthcheck"]["test"], name
        assert service["restart"] == "unless-stopped", name


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_no_rights_to_spare(compose: dict[str, Any], name: str) -> None:
    service = compose["services"][name]
    assert service["user"] == "10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_only_the_brokers_tls_port_is_open_to_the_outside(compose: dict[str, Any]) -> None:
    ports = [p for s in compose["services"].values() for p in s.get("ports", [])]
    shown = [f"{p['published']}:{p['target']}" if isinstance(p, dict) else str(p) for p in ports]
    assert [p for p in shown if not p.startswith("127.0.0.1:")] == ["8883:8883"]
    assert len(shown) == 3


def test_the_broker_sends_at_once() -> None:
    """Decision 0022: a message that waits for a delayed acknowledgement waits 40 ms."""
    lines = (Path(__file__).parents[2] / "deploy" / "mosquitto" / "mosquitto.conf").read_text().splitlines()
    assert "set_tcp_nodelay true" in lines


def test_secrets_are_files_that_make_secrets_makes(compose: dict[str, Any]) -> None:
    for name, secret in compose["secrets"].items():
        path = Path(secret["file"])
        assert path.exists(), name
        assert path.name == "smile_password" or path.read_text().strip(), name
    used = {
        s["source"] if isinstance(s, dict) else s for x in compose["services"].values() for s in x.get("secrets", [])
    }
    assert used == set(compose["secrets"])


def test_no_secret_stands_in_the_open(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for key, value in (service.get("environment") or {}).items():
            assert not re.search(r"PASSWORD|TOKEN", key) or str(value).startswith("/run/secrets/"), f"{name}: {key}"


def test_every_mounted_file_exists(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume["source"] if isinstance(volume, dict) else volume.split(":")[0]
            assert source in compose["volumes"] or Path(source).exists(), source


@pytest.mark.parametrize("name", OURS)
def test_each_of_our_containers_gets_every_secret_its_settings_name(
    compose: dict[str, Any], copy: Any, name: str
) -> None:
    """What a service reads at its start (smile_iot.parts) must be mounted; the others must not be."""
    needs = {
        "ingest": {"ingest_password", "import_password", "mosquitto_ca", "influx_token", "postgres_password"},
        "alerts": {"postgres_password"},
        "smile": {"postgres_password", "smile_password"},
        "api": {"postgres_password", "influx_token", "mosquitto_passwords", "mosquitto_ca"},
    }
    mounted = {s["source"] if isinstance(s, dict) else s for s in compose["services"][name]["secrets"]}
    assert mounted == needs[name]
    named = set(re.findall(r"/run/secrets/(\w+)", (copy.deploy / "server.toml").read_text()))
    assert mounted <= named


def test_secrets_are_made_once_and_never_overwritten(fresh_copy: Any) -> None:
    before = {p.name: p.read_bytes() for p in fresh_copy.secrets.iterdir()}
    again = fresh_copy.script("make-secrets")
    assert again.returncode == 0, again.stderr
    assert {p.name: p.read_bytes() for p in fresh_copy.secrets.iterdir()} == before
    assert len({before[n] for n in before if n.endswith(("_password", "_token"))}) == 7  # all differ (one is empty)


def test_nobody_else_on_the_machine_reads_the_secrets(fresh_copy: Any) -> None:
    assert stat.S_IMODE(fresh_copy.secrets.stat().st_mode) == 0o700
    assert stat.S_IMODE((fresh_copy.secrets / "ca_key").stat().st_mode) == 0o600
    for line in (fresh_copy.secrets / "mosquitto_passwords").read_text().splitlines():
        assert re.match(r"(ingest|import):\$7\$", line), "passwords are kept as hashes"


def test_the_certificate_is_for_the_brokers_name_and_signed_by_the_ca(copy: Any) -> None:
    words = ["-CAfile", str(copy.secrets / "mosquitto_ca"), str(copy.secrets / "mosquitto_cert")]
    verified = subprocess.run(["openssl", "verify", *words], capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stderr
    shown = ["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", str(copy.secrets / "mosquitto_cert")]
    names = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    assert "DNS:mosquitto" in names
    assert "DNS:localhost" in names


def test_secrets_are_not_tracked_and_not_sent_to_docker(copy: Any) -> None:
    root = Path(__file__).parents[2]
    asked = subprocess.run(
        ["git", "check-ignore", "deploy/secrets/ca_key"], cwd=root, check=False, capture_output=True
    )
    assert asked.returncode == 0
    lines = (root / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    assert not any(line.startswith("!deploy") for line in lines)
    assert os.access(copy.deploy / "mosquitto/run", os.X_OK)
