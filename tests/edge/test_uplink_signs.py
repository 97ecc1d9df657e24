"""An enrolled edge signs each message, hello and uploads, with the key in its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge.config import MqttSettings
from edge.outbox import MemoryOutbox
from edge.supervisor import Outage
from edge.uplink import Uplink, _upload_key
from telemetry.contract import Upload, decode_upload, verify
from telemetry.errors import ConfigError, ContractError
from telemetry.topics import EdgeAddress

KEY = bytes(range(32))
ADDRESS = EdgeAddress("s0", "PKM-1", "E1")


def written(key: bytes | None, clock: Any, upload: Upload) -> bytes:
    uplink = Uplink(ADDRESS, MqttSettings(), clock, MemoryOutbox(), Outage("broker"))
    uplink._key = key
    return uplink._written(upload)


def test_a_hello_and_an_upload_carry_the_edges_mac(clock: Any, make: Any) -> None:
    outbox = MemoryOutbox()
    outbox.append([make.reading(), make.event()])
    facts = tuple(outbox.pending(10))
    for upload in (Upload("hello", "E1", "ep", 1, info={}), Upload("events", "E1", "ep", 1, facts[1:])):
        payload = written(KEY, clock, upload)
        verify(payload, [KEY])
        assert decode_upload(payload).facts == upload.facts
        with pytest.raises(ContractError, match="bad_mac"):
            verify(payload, [bytes(32)])


def test_without_a_key_nothing_is_signed(clock: Any) -> None:
    assert written(None, clock, Upload("hello", "E1", "ep", 1, info={})).endswith(b',"mac":null}')


def test_a_key_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "upload.key"
    file.write_text(KEY.hex() + "\n")
    assert _upload_key(str(file)) == KEY
    assert _upload_key("") is None


@pytest.mark.parametrize("text", ["", "zz" * 32, "00" * 31, "00" * 33])
def test_a_file_that_holds_no_key_is_a_setting_to_mend_and_is_not_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "upload.key"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        _upload_key(str(file))
    assert error.value.key == "mqtt.upload_key_file"
    assert text == "" or text not in str(error.value)


def test_a_missing_key_file_is_a_setting_to_mend(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        _upload_key(str(tmp_path / "none"))
