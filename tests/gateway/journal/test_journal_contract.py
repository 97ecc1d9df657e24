"""One suite over every journal (architecture.md, Journal)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.journal import Entry, Journal, SqliteJournal, forget_passed, open_journal
from gateway.journal.postgres import PostgresJournal
from telemetry.errors import ConfigError, NeighbourDownError


def entry(n: int, payload: bytes = b"{}", kind: str = "readings") -> Entry:
    return Entry("SITE1", "E1", "ep", kind, 1_000 + n, payload)


def test_a_new_journal_is_empty(journal: Journal) -> None:
    assert journal.last_offset() == 0
    assert journal.after(0, 10) == []


def test_entries_come_back_in_order_as_they_went_in(journal: Journal) -> None:
    entries = [entry(1, bytes(range(256))), entry(2, b""), entry(3, "ä€😀".encode(), "events")]
    last = journal.append(entries)
    found = journal.after(0, 10)
    assert [e for _, e in found] == entries
    assert found[-1][0] == last == journal.last_offset()
    assert all(isinstance(e.payload, bytes) for _, e in found)


def test_after_gives_only_what_lies_past_the_offset_and_at_most_the_limit(journal: Journal) -> None:
    journal.append([entry(n) for n in range(5)])
    first = journal.after(0, 2)
    rest = journal.after(first[-1][0], 10)
    assert [e.received_at_ms for _, e in first + rest] == [1000, 1001, 1002, 1003, 1004]
    assert journal.after(rest[-1][0], 10) == []


def test_a_page_weighs_no_more_than_it_may(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """At least one entry, however large, so that a reader always goes on."""
    monkeypatch.setattr("gateway.journal.model.AFTER_BYTES", 250)
    sizes = [100, 100, 100, 100, 900, 0, 249, 1, 5]
    journal.append([entry(n, b"x" * size) for n, size in enumerate(sizes)])
    pages, offset = [], 0
    while page := journal.after(offset, 4):
        pages.append([len(e.payload) for _, e in page])
        offset = page[-1][0]
    assert pages == [[100, 100, 100], [100, 900], [0, 249, 1], [5]]


def test_appending_nothing_changes_nothing(journal: Journal) -> None:
    last = journal.append([entry(1)])
    assert journal.append([]) == last
    assert len(journal.after(0, 10)) == 1


def test_another_reader_sees_what_was_appended(open_again: Callable[[], Journal]) -> None:
    writer, reader = open_again(), open_again()
    writer.append([entry(1)])
    assert len(reader.after(0, 10)) == 1
    writer.append([entry(2)])
    assert len(reader.after(0, 10)) == 2


@pytest.mark.parametrize("before", [0, 2])
def test_offsets_that_readers_have_seen_elsewhere_are_skipped(open_again: Callable[[], Journal], before: int) -> None:
    journal = open_again()
    journal.append([entry(n) for n in range(before)])
    journal.skip_to(50)
    assert journal.last_offset() == 50
    assert journal.append([entry(9)]) > 50
    journal.skip_to(3)
    assert open_again().append([entry(10)]) > 51
    assert len(journal.after(0, 10)) == before + 2


def test_offsets_are_not_given_twice_after_forget(open_again: Callable[[], Journal]) -> None:
    journal = open_again()
    last = journal.append([entry(n) for n in range(3)])
    assert journal.forget(last) == 2
    assert [offset for offset, _ in journal.after(0, 10)] == [last]
    assert journal.forget(last + 1) == 1
    journal.close()
    again = open_again()
    assert again.last_offset() == last
    assert again.append([entry(9)]) > last


def test_a_batch_is_one_transaction(journal: Journal) -> None:
    """A bad entry in the middle leaves nothing of its batch behind."""
    journal.append([entry(1)])
    bad = Entry("SITE1", "E1", "ep", "readings", 1, None)  # type: ignore[arg-type]
    with pytest.raises(NeighbourDownError):
        journal.append([entry(2), bad, entry(3)])
    assert [e.received_at_ms for _, e in journal.after(0, 10)] == [1001]
    assert journal.append([entry(4)]) == journal.after(0, 10)[-1][0]


def test_a_reader_that_follows_by_offset_misses_nothing_while_writers_write(
    open_again: Callable[[], Journal],
) -> None:
    """Offsets appear in order: a reader that commits the offset it saw never skips an entry."""
    writers, each = 3, 40

    def write(number: int) -> None:
        journal = open_again()
        for n in range(each):
            journal.append([entry(number * 1000 + n)])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(writers)]
    reader, offset, seen = open_again(), 0, []
    for thread in threads:
        thread.start()
    while any(t.is_alive() for t in threads) or reader.last_offset() > offset:
        for at, found in reader.after(offset, 7):
            offset = at
            seen.append(found.received_at_ms)
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(1_000 + w * 1000 + n for w in range(writers) for n in range(each))


def test_urls_choose_the_implementation(tmp_path: Path) -> None:
    plain = open_journal(str(tmp_path / "a.db"))
    by_url = open_journal(f"sqlite:///{tmp_path / 'a.db'}")
    plain.append([entry(1)])
    assert isinstance(plain, SqliteJournal)
    assert len(by_url.after(0, 10)) == 1
    plain.close()
    by_url.close()
    assert isinstance(open_journal("postgresql://nobody@127.0.0.1:1/x"), PostgresJournal)
    with pytest.raises(ConfigError):
        open_journal("kafka://x")


def test_a_dead_database_is_a_neighbour_down_and_worth_another_try(tmp_path: Path) -> None:
    with pytest.raises(NeighbourDownError) as caught:
        open_journal("postgresql://nobody@127.0.0.1:1/x").append([entry(1)])
    assert caught.value.again
    with pytest.raises(NeighbourDownError):
        SqliteJournal(tmp_path / "no" / "folder" / "journal.db")


def test_sqlite_commits_are_fsynced(tmp_path: Path) -> None:
    """facts/data-path.md 4: WAL with NORMAL lost acknowledged rows in 96 % of power cuts, FULL in none."""
    journal = SqliteJournal(tmp_path / "journal.db")
    assert journal._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert journal._db.execute("PRAGMA synchronous").fetchone()[0] == 2
    journal.close()


def test_postgres_is_found_again_after_an_outage(database: str) -> None:
    """Our session is ended by the server (a restart, an admin): the next call but one works."""
    import psycopg

    journal = PostgresJournal(database)
    journal.append([entry(1)])
    with psycopg.connect(database, autocommit=True) as db:
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND datname = current_database()"
        )
    with pytest.raises(NeighbourDownError):
        journal.append([entry(2)])
    journal.append([entry(2)])
    assert len(journal.after(0, 10)) == 2
    journal.close()


@pytest.mark.parametrize(
    ("readers", "before_ms", "left"),
    [
        ([3, 5], 9_999, [4, 5, 6]),  # the slower reader decides
        ([6, 6], 1_002, [3, 4, 5, 6]),  # the retention time decides: received at 1000 + n - 1
        ([], 9_999, [1, 2, 3, 4, 5, 6]),  # nobody said that it passed anything
        ([0], 9_999, [1, 2, 3, 4, 5, 6]),
        ([6, 6], 9_999, []),
    ],
)
def test_an_entry_goes_only_after_all_readers_and_the_retention_time(
    journal: Journal, readers: list[int], before_ms: int, left: list[int]
) -> None:
    """design.md: dropped only after both readers passed it and a retention time."""
    journal.append([entry(n) for n in range(6)])
    assert forget_passed(journal, readers, before_ms) == 6 - len(left)
    assert [n for n, _ in journal.after(0, 10)] == left


def test_an_old_entry_behind_a_young_one_waits(journal: Journal) -> None:
    journal.append([entry(1), entry(500), entry(2)])
    assert forget_passed(journal, [3], 1_100) == 1
    assert [n for n, _ in journal.after(0, 10)] == [2, 3]
