"""One-time codes: long enough, typeable, and read as they were meant."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from gateway.records.codes import ALPHABET, SECRET_SIGNS, InviteCode, new_code, read_code

_NOT_OURS = st.characters(exclude_characters=ALPHABET + ALPHABET.lower() + "oOiIlL- \t\n\r")


def test_the_secret_of_a_code_has_at_least_80_random_bits() -> None:
    assert SECRET_SIGNS * math.log2(len(set(ALPHABET))) >= 80


def test_no_sign_of_a_code_can_be_taken_for_another() -> None:
    assert not set("ILOU") & set(ALPHABET)
    assert len({new_code().text for _ in range(200)}) == 200


def test_a_code_is_shown_in_five_groups_of_four() -> None:
    assert [len(group) for group in new_code().text.split("-")] == [4] * 5


@given(st.text(ALPHABET, min_size=20, max_size=20), st.data())
def test_small_letters_spaces_and_look_alikes_are_read_as_they_were_meant(signs: str, data: st.DataObject) -> None:
    typed = "".join(
        data.draw(st.sampled_from({"0": "0Oo", "1": "1IiLl"}.get(sign, sign + sign.lower())))
        + data.draw(st.sampled_from(["", "-", " "]))
        for sign in signs
    )
    assert read_code(typed) == InviteCode(signs[:4], signs[4:])


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_and_never_more(text: str) -> None:
    code = read_code(text)
    assert code is None or read_code(code.text) == code


@given(_NOT_OURS, st.integers(0, 19))
def test_a_sign_that_is_not_ours_makes_it_no_code(sign: str, at: int) -> None:
    signs = new_code().text.replace("-", "")
    assert read_code(signs[:at] + sign + signs[at + 1 :]) is None


def test_a_code_fits_its_own_digest_only_and_the_digest_does_not_show_it() -> None:
    code, other = new_code(), new_code()
    assert code.fits(code.digest)
    assert not code.fits(other.digest)
    assert code.secret not in code.digest
    assert code.secret not in repr(code)
