"""amqtt in Mosquitto's place: only for ``NO_INSTALL=1 make demo`` on a machine without Mosquitto, and never for a site.

Same accounts, same rules of who may read and write what, same loopback port; but nothing of it is on disk, so a broker
that is killed forgets its queue. Nothing is lost by that (receipts come from the journal, and an edge sends again
what none names), it only takes longer.

``python -m smile_iot.demo.amqtt_broker ACCOUNTS.json PORT`` is the broker's process.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from gateway.broker_accounts import password_hash
from smile_iot.demo.mosquitto import Mosquitto
from smile_iot.demo.secret_file import write_secret
from smile_iot.processes import Program, wait_port
from telemetry.errors import NeighbourDownError
from telemetry.topics import ROOT

try:  # an extra of its own: where it is missing, the choice below says so
    from amqtt.contexts import Action
    from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
    from amqtt.session import Session
except ImportError:
    HAVE_AMQTT = False
else:
    HAVE_AMQTT = True

WARNING = """\
!! WARNING: Mosquitto is not installed and NO_INSTALL=1 forbids to install it.
!! amqtt, a small broker in Python, stands in for it: good for a look at the demo, not for a site.
!! (It keeps nothing on disk and has not stood the tests that Mosquitto has.)"""


def choose_broker(folder: Path, edges: dict[str, tuple[str, str]]) -> Mosquitto:
    """Mosquitto; amqtt, with a visible warning, only where it is missing and NO_INSTALL=1. Not started yet."""
    if Mosquitto.binary() is not None or os.environ.get("NO_INSTALL") != "1":
        return Mosquitto(folder, edges)
    if not HAVE_AMQTT:
        raise NeighbourDownError(
            "mosquitto",
            "is not installed, NO_INSTALL=1 forbids to install it, and amqtt is not there to stand in",
            advice="apt-get install mosquitto, or pip install --require-hashes -r requirements/all.lock",
        )
    print(WARNING, file=sys.stderr, flush=True)
    return AmqttBroker(folder, edges)


@dataclass(slots=True)
class AmqttBroker(Mosquitto):
    """The same to its user as ``Mosquitto``."""

    signalled: ClassVar[bool] = False  # it reads them at each connection

    def start(self) -> None:
        self.make_accounts()
        accounts: dict[str, dict[str, Any]] = {}
        for account, path in self.password_files.items():
            accounts[account] = {"password_file": str(path), **self._rights(account)}
        file = write_secret(self.folder / "accounts.json", json.dumps(accounts))
        command = [sys.executable, "-m", "smile_iot.demo.amqtt_broker", str(file), str(self.port)]
        self.program = Program("amqtt", command, self.folder)
        self.program.start()
        wait_port(self.port, "amqtt")

    def _rights(self, account: str) -> dict[str, str]:
        if account == "ingest":
            return {"write": f"{ROOT}/+/+/+/down/+", "read": f"{ROOT}/+/+/+/up/+"}
        shard, site = self.edges[account]
        base = f"{ROOT}/{shard}/{site}/{account}"
        return {"write": f"{base}/up/+", "read": f"{base}/down/+"}


def covers(rule: str, asked: str) -> bool:
    """Whether all that ``asked`` (a topic, or a filter of a subscription) means lies within ``rule`` (with +)."""
    allowed, wanted = rule.split("/"), asked.split("/")
    return len(allowed) == len(wanted) and all(
        a == w or (a == "+" and w != "#") for a, w in zip(allowed, wanted, strict=True)
    )


# --- the broker's process -----------------------------------------------------------------------------------------

if HAVE_AMQTT:

    class Passwords(BaseAuthPlugin):
        """Nobody without an account and its password."""

        @dataclass
        class Config(BaseAuthPlugin.Config):
            """The one option, as amqtt hands it over."""

            accounts_file: str = ""

        async def authenticate(self, *, session: Session) -> bool:
            account = _accounts(self.config.accounts_file).get(session.username or "")
            said = session.password or ""
            if account is None:
                return hash_fits(_enrolled(self.config.accounts_file, "passwords", session.username or ""), said)
            return hmac.compare_digest(_text(account["password_file"]).encode(), said.encode())

    class Rights(BaseTopicPlugin):
        """Each account writes and reads its own topics only."""

        @dataclass
        class Config(BaseTopicPlugin.Config):
            """The one option, as amqtt hands it over."""

            accounts_file: str = ""

        async def topic_filtering(
            self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
        ) -> bool:
            name = (session.username if session else None) or ""
            account = _accounts(self.config.accounts_file).get(name) or rights_of(
                _enrolled(self.config.accounts_file, "acl", name)
            )
            if not account or not topic:
                return False
            return covers(account["write" if action == Action.PUBLISH else "read"], topic)


def _accounts(file: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads(_text(file))
    return found


def _enrolled(accounts_file: str, name: str, account: str) -> str:
    """What Mosquitto's own file beside ours says of an enrolled edge: its hash, or its rules; "" for nobody."""
    text = _text(str(Path(accounts_file).with_name(name)))
    if name == "passwords":
        rows = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        return rows.get(account, "")
    rules = dict(part.split("\n", 1) for part in text.split("user ")[1:])
    return rules.get(account, "")


def hash_fits(hashed: str, password: str) -> bool:
    """Whether this is the password of a hash of ``mosquitto_passwd``."""
    if not hashed.startswith("$7$"):
        return False
    return hmac.compare_digest(password_hash(password, base64.b64decode(hashed.split("$")[3])), hashed)


def rights_of(rules: str) -> dict[str, str]:
    """{"write": topic, "read": topic} of an account's rules in an ACL file."""
    words = [line.split() for line in rules.splitlines() if line.startswith("topic ")]
    return {verb: topic for _, verb, topic in words}


def _text(file: str) -> str:
    return Path(file).read_text()


async def serve(accounts_file: str, port: int) -> None:
    """Run the broker on the loopback address until SIGTERM or SIGINT."""
    from amqtt.broker import Broker

    options = {"accounts_file": accounts_file}
    module = "smile_iot.demo.amqtt_broker"
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {f"{module}.Passwords": options, f"{module}.Rights": options},
        }
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await broker.start()
    await stop.wait()
    with contextlib.suppress(Exception):  # amqtt complains of clients that are still there
        await broker.shutdown()


def main(words: Sequence[str]) -> int:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(serve(words[0], int(words[1])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
