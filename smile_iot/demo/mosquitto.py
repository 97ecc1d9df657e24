"""A Mosquitto of our own: loopback, a free port, nobody anonymous, each edge may write its own site only."""

from __future__ import annotations

import getpass
import secrets
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from smile_iot.processes import Program, free_port, wait_port
from telemetry.errors import NeighbourDownError
from telemetry.topics import ROOT


@dataclass(slots=True)
class Mosquitto:
    """Start with ``start()``; accounts are made with passwords in files of mode 0600 under ``folder``."""

    folder: Path
    edges: dict[str, tuple[str, str]]  # account -> (shard, site)
    port: int = 0
    password_files: dict[str, Path] = field(default_factory=dict)
    program: Program | None = None
    more: str = ""  # further lines of its configuration

    @staticmethod
    def binary() -> str | None:
        return shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")

    def start(self) -> None:
        binary = self.binary()
        if binary is None:
            raise NeighbourDownError("mosquitto", "is not installed", advice="apt-get install mosquitto")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        accounts = ["ingest", *self.edges]
        passwords = self.folder / "passwords"
        lines = []
        for account in accounts:
            password = secrets.token_urlsafe(18)
            path = self.folder / f"{account}.password"
            path.touch(mode=0o600)
            path.write_text(password)
            self.password_files[account] = path
            lines.append(f"{account}:{password}")
        passwords.touch(mode=0o600)
        passwords.write_text("\n".join(lines) + "\n")
        subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
        acl = self.folder / "acl"
        acl.touch(mode=0o600)
        acl.write_text(self._acl())
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\n"
            "allow_anonymous false\n"
            f"password_file {passwords}\nacl_file {acl}\nuser {getpass.getuser()}\n"
            f"persistence true\npersistence_location {self.folder}/\nautosave_interval 30\n"
            f"max_queued_messages 1000000\nmax_queued_bytes 104857600\nlog_dest stdout\n{self.more}"
        )
        self.program = Program("mosquitto", [binary, "-c", str(config)], self.folder)
        self.program.start()
        wait_port(self.port, "mosquitto")

    def _acl(self) -> str:
        rules = [f"user ingest\ntopic read {ROOT}/+/+/+/up/+\ntopic write {ROOT}/+/+/+/down/+\n"]
        for account, (shard, site) in self.edges.items():
            base = f"{ROOT}/{shard}/{site}/{account}"
            rules.append(f"user {account}\ntopic write {base}/up/+\ntopic read {base}/down/+\n")
        return "\n".join(rules)
