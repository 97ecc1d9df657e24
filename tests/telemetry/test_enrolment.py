"""What server and Pi say to each other at enrolment: the line, and the pin of a CA."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.enrolment import Invitation, certificate, pin_of, read_line, same_pin
from telemetry.errors import ContractError

TEXT = st.text(min_size=1, max_size=60)


def pem(der: bytes) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"


@given(TEXT, TEXT, st.text(max_size=40))
def test_a_line_is_read_as_it_was_written(server: str, code: str, pin: str) -> None:
    invitation = Invitation(server, code, pin)
    if any(not text.isprintable() for text in (server, code, pin)):
        return
    assert read_line(invitation.line) == invitation


@given(st.text(max_size=200))
def test_any_text_is_a_line_or_refused(text: str) -> None:
    with contextlib.suppress(ContractError):
        assert read_line(text).code


def test_a_line_of_very_many_fields_is_refused() -> None:
    with pytest.raises(ContractError):
        read_line("smile-iot-enrol:?" + "&".join(f"a{i}=1" for i in range(50)))


@pytest.mark.parametrize(
    "line", ["", "https://x", "smile-iot-enrol:?server=x", "smile-iot-enrol:?code=x", "x:?server=a&code=b"]
)
def test_what_lacks_server_or_code_is_no_line(line: str) -> None:
    with pytest.raises(ContractError):
        read_line(line)


@given(st.binary(min_size=1, max_size=2000))
def test_a_pin_names_one_certificate(der: bytes) -> None:
    pin = pin_of(pem(der))
    assert certificate(pem(der))[1] == der
    assert [len(group) for group in pin.split("-")] == [4] * 8
    assert pin_of("text before\n" + pem(der) + pem(der + b"x")) == pin
    assert not same_pin(pin, pin_of(pem(der + b"x")))


def test_a_pin_is_the_same_however_it_is_typed() -> None:
    pin = pin_of(pem(b"certificate"))
    assert same_pin(pin, pin.lower().replace("-", " ").replace("0", "o").replace("1", "l"))
    assert not same_pin("", "")
    assert not same_pin(pin, pin[:-1])


@pytest.mark.parametrize("text", ["", "x", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----"])
def test_what_holds_no_certificate_has_no_pin(text: str) -> None:
    with pytest.raises(ContractError):
        pin_of(text)


def test_a_code_does_not_show_in_a_log() -> None:
    assert "SECRET" not in repr(Invitation("https://x", "SECRET"))
