"""The signature of Berlinger's exports: real files fit as they are, and no change of them does (decision 0033)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import pytest

from edge.decoders.files import decode_file
from edge.decoders.files.model import LoggerFileError
from edge.decoders.files.signature import _G, _N, Signature, _times, check_signature
from edge.decoders.files.tree import NO_SIGNATURE

Read = Callable[[str], bytes]
Build = Callable[..., str]
FRIDGE_TAG = "fridge-tag-2-130400191544.txt"


@pytest.mark.real_files
@pytest.mark.parametrize(
    ("name", "says"),
    [
        (FRIDGE_TAG, Signature.VALID),
        ("fridge-tag-2-130400191542.txt", Signature.VALID),
        ("fridge-tag-2-room-60-days.txt", Signature.VALID),
        ("q-tag-clm-RCPJ00010-run-2.txt", Signature.KEY_NOT_CHECKED),
        ("fridge-tag-2l-format-sample.txt", Signature.BROKEN),
    ],
)
def test_real_files_fit_and_the_one_that_its_publisher_shortened_does_not(
    real_file: Read, name: str, says: Signature
) -> None:
    file = decode_file(real_file(name))
    assert file.signature is says
    assert any("SIGNATURE DOES NOT FIT" in n for n in file.notes) is (says is Signature.BROKEN)


@pytest.mark.real_files
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Max T: +8.5", b"Max T: +7.5"),
        (b"t Acc: 8\r", b"t Acc: 0\r"),
        (b"Serial: 130400191544", b"Serial: 130400191545"),
        (b"Date: 2023-04-19", b"Date: 2023-04-21"),
        (b"\r\nSig: 8", b"\r\nSig: 9"),
        (b"Owner: Berlinger", b"Owner: berlinger"),
    ],
)
def test_one_changed_sign_breaks_it_and_is_the_first_note(real_file: Read, old: bytes, new: bytes) -> None:
    data = real_file(FRIDGE_TAG)
    assert data.count(old) == 1
    file = decode_file(data.replace(old, new))
    assert file.signature is Signature.BROKEN
    assert file.notes[0].startswith("THE SIGNATURE DOES NOT FIT")


@pytest.mark.real_files
def test_line_ends_and_encoding_are_no_change(real_file: Read) -> None:
    data = real_file(FRIDGE_TAG)
    for other in (
        data.replace(b"\r\n", b"\n"),
        data.replace(b"\r\n", b"\r"),
        b"\xef\xbb\xbf" + data,
        data.decode().encode("utf-16"),
        data.decode().encode("utf-16-le"),
        data.decode().encode("utf-16-be"),
        data + b"\r\n\r\n",
    ):
        assert decode_file(other).signature is Signature.VALID


INVENTED = b"Data:\r\n\t2023-04-20 10:00\t5.0\r\n\t2023-04-20 10:01\t5.0\r\n"


@pytest.mark.real_files
def test_what_stands_after_the_signature_was_not_signed(real_file: Read) -> None:
    """Rows set behind a whole file would be judged with its good signature."""
    data = real_file(FRIDGE_TAG)
    assert check_signature(data + INVENTED) is Signature.BROKEN
    assert check_signature(data + b"\x1a\r\n") is Signature.VALID
    with pytest.raises(LoggerFileError, match="a second Sig block"):
        decode_file(data + INVENTED + b"Sig: " + b"AB" * 64 + b"\r\n")


@pytest.mark.real_files
@pytest.mark.parametrize(
    ("old", "new"), [(b"\r\nCert:", b"\r\ncert:"), (b"\r\nSig:", b"\r\nsig:"), (b"\r\nSig: ", b"\r\nSig: -")]
)
def test_a_changed_file_whose_signature_is_made_unreadable_says_that_it_has_none(
    real_file: Read, old: bytes, new: bytes
) -> None:
    data = real_file(FRIDGE_TAG).replace(b"Max T: +8.5", b"Max T: +7.5")
    assert data.count(old) == 1
    file = decode_file(data.replace(old, new))
    assert (file.signature, file.notes[0]) == (Signature.NONE, NO_SIGNATURE)


@pytest.mark.real_files
def test_a_key_set_behind_what_the_issuer_certified_is_not_looked_at(real_file: Read) -> None:
    data = real_file(FRIDGE_TAG)
    at = data.index(b"\r\nSig:")
    key = re.search(rb" Public Key: \w+", data)
    assert key is not None
    moved = data[: key.start()] + b" Old Key" + data[key.end() : at] + b"\r\n" + key[0] + data[at:]
    assert check_signature(moved) is Signature.NOT_CHECKABLE


def test_a_key_of_ones_own_under_the_makers_name_is_not_vouched_for() -> None:
    """Signed here with the private key 7: the file fits its key, which no issuer known here certified."""
    key = _times(7, _G)
    assert key is not None
    public = b"".join(x.to_bytes(32, "little") for x in key).hex()
    body = (
        "Device: Q-tag Fridge-tag 2\r\nConf:\r\n Serial: 1\r\nHist:\r\nCert:\r\n Issuer: Berlinger & Co. AG\r\n"
        f" Public Key: {public}\r\nSig Cert: {'01' * 64}\r\n"
    ).encode()
    nonce = _times(11, _G)
    assert nonce is not None
    r = nonce[0] % _N
    s = pow(11, -1, _N) * (int.from_bytes(hashlib.sha256(body).digest(), "little") + r * 7) % _N
    signed = body + b"Sig: " + (r.to_bytes(32, "little") + s.to_bytes(32, "little")).hex().encode() + b"\r\n"
    assert check_signature(signed) is Signature.KEY_NOT_CHECKED
    assert check_signature(signed.replace(b"Serial: 1", b"Serial: 2")) is Signature.BROKEN


def test_a_file_without_signature_or_without_key_says_which(fridge_tag: Build) -> None:
    assert decode_file(fridge_tag(tail="").encode()).signature is Signature.NONE
    without = decode_file(fridge_tag().encode())
    assert without.signature is Signature.NOT_CHECKABLE
    assert "holds no key" in without.notes[0]
    off_curve = fridge_tag().replace(" Vers: 1.0\nSig", f" Vers: 1.0\n Public Key: {'01' * 64}\nSig")
    assert decode_file(off_curve.encode()).signature is Signature.BROKEN
    assert decode_file(b"time,temperature_c\n2026-03-01 08:00,5.0\n").signature is None
