"""A Mosquitto of our own: loopback, a free port, nobody anonymous, each edge may write its own site only."""

from __future__ import annotations

import getpass
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from gateway.broker_accounts import BrokerFiles, new_password, password_hash
from smile_iot.demo.secret_file import write_secret
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
    signalled: ClassVar[bool] = True  # reads its files again at SIGHUP

    @staticmethod
    def binary() -> str | None:
        return shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")

    def start(self) -> None:
        binary = self.binary()
        if binary is None:
            raise NeighbourDownError("mosquitto", "is not installed", advice="apt-get install mosquitto")
        self.make_accounts()
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\n"
            "allow_anonymous false\n"
            f"password_file {self.files.passwords}\nacl_file {self.files.acl}\nuser {getpass.getuser()}\n"
            f"persistence true\npersistence_location {self.folder}/\nautosave_interval 30\n"
            f"max_queued_messages 1000000\nmax_queued_bytes 104857600\nset_tcp_nodelay true\nlog_dest stdout\n"
            f"{self.more}"
        )
        self.program = Program("mosquitto", [binary, "-c", str(config)], self.folder)
        self.program.start()
        if self.program.process is not None and self.files.pid_file is not None:
            self.files.pid_file.write_text(str(self.program.process.pid))
        wait_port(self.port, "mosquitto")

    @property
    def files(self) -> BrokerFiles:
        """As on a server: our own accounts are the base, the api adds who was enrolled and sends a SIGHUP."""
        names = ("passwords", "acl", "base_passwords", "base_acl")
        pid_file = self.folder / "pid_file" if self.signalled else None
        return BrokerFiles(**{name: self.folder / name for name in names}, pid_file=pid_file)

    def make_accounts(self) -> None:
        """Passwords in files of their own, and the broker's files with these accounts alone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        lines = []
        for account in ("ingest", *self.edges):
            password = new_password()
            self.password_files[account] = write_secret(self.folder / f"{account}.password", password)
            lines.append(f"{account}:{password_hash(password)}\n")
        for path in (self.files.base_passwords, self.files.passwords):
            write_secret(path, "".join(lines))
        for path in (self.files.base_acl, self.files.acl):
            write_secret(path, self._acl())

    def _acl(self) -> str:
        rules = [f"user ingest\ntopic read {ROOT}/+/+/+/up/+\ntopic write {ROOT}/+/+/+/down/+\n"]
        for account, (shard, site) in self.edges.items():
            base = f"{ROOT}/{shard}/{site}/{account}"
            rules.append(f"user {account}\ntopic write {base}/up/+\ntopic read {base}/down/+\n")
        return "\n".join(rules)
