"""Who speaks under an edge's name: re-imaged, restored, copied and moved cards, and two Pis at once."""

from __future__ import annotations

from collections.abc import Sequence

from ingest.identities import DAY_MS, MAX_SEEN, HelloSeen, Identity, IdentityKind, identities, seen

HOUR = 3_600_000
EDGE = ("SITE1", "E1")


def told(
    *hellos: tuple[int, str, str, str], conflicts: dict[tuple[str, str], tuple[str, int]] | None = None
) -> list[Identity]:
    """What a history of (hour, epoch, machine, reason) gives."""
    history: Sequence[HelloSeen] = ()
    for hour, epoch, machine, reason in hellos:
        history = seen(history, epoch, machine, reason, "", hour * HOUR, hour * HOUR)
    return identities({EDGE: history}, conflicts or {})


def kinds(found: list[Identity]) -> list[IdentityKind]:
    return [i.kind for i in found]


def test_one_card_in_one_machine_is_nothing_to_tell() -> None:
    assert told(*[(hour, "a", "m", "new") for hour in range(30)]) == []


def test_a_card_made_anew_in_the_same_machine() -> None:
    (found,) = told((0, "a", "m", "new"), (9, "b", "m", "new"), (10, "b", "m", "new"))
    assert found == Identity(*EDGE, IdentityKind.NEW_CARD, "b", "a", 9 * HOUR, 9 * HOUR)


def test_what_the_edge_says_of_its_new_epoch_is_told() -> None:
    assert kinds(told((0, "a", "m", "new"), (9, "b", "m", "restored"))) == [IdentityKind.RESTORED]
    assert kinds(told((0, "a", "m", "new"), (9, "b", "x", "copied"))) == [IdentityKind.COPIED]
    assert kinds(told((0, "a", "m", "new"), (9, "b", "x", "moved"))) == [IdentityKind.MOVED]
    assert kinds(told((0, "a", "m", "new"), (9, "b", "m", "salvaged"))) == [IdentityKind.SALVAGED]


def test_a_new_card_in_another_machine_is_a_pi_replaced() -> None:
    assert kinds(told((0, "a", "m", "new"), (9, "b", "x", "new"))) == [IdentityKind.REPLACED]


def test_a_card_moved_unchanged_into_another_machine() -> None:
    assert kinds(told((0, "a", "m", "new"), (9, "a", "x", "new"), (10, "a", "x", "new"))) == [IdentityKind.MOVED]


def test_a_copied_card_heard_for_the_first_time_is_told_by_its_own_word() -> None:
    history = seen((), "b", "x", "copied", "a", HOUR, HOUR)
    (found,) = identities({EDGE: history}, {})
    assert found == Identity(*EDGE, IdentityKind.COPIED, "b", "a", HOUR, HOUR)


def test_two_pis_are_heard_in_turns() -> None:
    found = told((0, "a", "m", "new"), (1, "b", "x", "copied"), (2, "a", "m", "new"), (3, "b", "x", "copied"))
    assert kinds(found) == [IdentityKind.COPIED, IdentityKind.TWO_PIS]
    assert (found[1].since_ms, found[1].last_ms) == (1 * HOUR, 3 * HOUR)


def test_two_machines_in_one_epoch_are_two_pis_too() -> None:
    found = told((0, "a", "m", ""), (1, "a", "x", ""), (2, "a", "m", ""))
    assert IdentityKind.TWO_PIS in kinds(found)


def test_an_old_card_tried_again_after_a_week_is_not_two_pis() -> None:
    week = 7 * 24
    found = told((0, "a", "m", "new"), (1, "b", "m", "new"), (1 + week, "a", "m", "new"))
    assert IdentityKind.TWO_PIS not in kinds(found)


def test_a_hello_that_the_broker_sends_again_is_no_second_pi() -> None:
    history = seen((), "a", "m", "new", "", 0, 0)
    history = seen(history, "b", "m", "new", "a", HOUR, HOUR)
    assert seen(history, "a", "m", "new", "", 2 * HOUR, 0) == history


def test_one_number_with_two_contents_is_two_pis_without_any_hello() -> None:
    found = identities({}, {EDGE: ("a", 7)})
    assert found == [Identity(*EDGE, IdentityKind.TWO_PIS, "a", "a", 7, 7)]


def test_the_history_is_bounded_and_keeps_the_newest() -> None:
    history: Sequence[HelloSeen] = ()
    for n in range(3 * MAX_SEEN):
        history = seen(history, f"e{n}", "m", "new", "", n * DAY_MS, n * DAY_MS)
    assert len(history) == MAX_SEEN
    assert history[-1].epoch == f"e{3 * MAX_SEEN - 1}"
