"""A damaged file: what can be read is kept and true, the rest is reported, the agent always starts."""

from __future__ import annotations

import json
import os
import random
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from edge import salvage
from edge.outbox import EpochReason, Quota, SqliteOutbox
from edge.thinning import LOST, ranges_in
from telemetry.errors import NeighbourDownError
from telemetry.readings import Event, Fact, Ranges

MINUTE_MS = 60_000
DAY_MS = 86_400_000
RUNS = int(os.environ.get("SALVAGE_RUNS", "72"))  # the long form: 480
ALL = Ranges([(1, 1 << 40)])


@dataclass(frozen=True)
class Template:
    """An outbox as a power cut left it, file and log; and what was in it."""

    keeper: Path
    file: bytes
    log: bytes
    epoch: str
    numbered_to: int
    unsent: dict[int, Fact]
    ever: set[str]

    def put(self, folder: Path) -> Path:
        """The very file (not a copy: that would be another inode) as ``folder/o.db``, with its log."""
        folder.mkdir()
        self.keeper.write_bytes(self.file)
        (folder / "o.db").hardlink_to(self.keeper)
        (folder / "o.db-wal").write_bytes(self.log)
        return folder / "o.db"


def facts_of_two_days(make: Any) -> list[Fact]:
    """Readings in rounds, and now and then a weighing and an event that is longer than a page."""
    start_ms = make.stamp.wall_ms - 2 * DAY_MS
    found: list[Fact] = []
    for i in range(600):
        at_ms = start_ms + i * 4 * MINUTE_MS
        stamp = replace(make.stamp, wall_ms=at_ms, boottime_ns=i * 10**9)
        for number in range(2):
            value = f"{3 + (i * 7 + number) % 400 / 100:.2f}"
            found.append(replace(make.reading(f"LOG-{number}/temperature_c", value, at_ms), stamp=stamp))
        if i % 50 == 0:
            found.append(replace(make.weighing(), weighing_id=f"W-{i}", sampled_at_ms=at_ms, stamp=stamp))
            long = {f"part_{n}": f"{i}-" + "x" * 400 for n in range(4)}
            found.append(replace(make.event(), sampled_at_ms=at_ms, stamp=stamp, detail=long))
    return found


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, facts_maker: Any) -> Template:
    folder = tmp_path_factory.mktemp("outbox")
    box = SqliteOutbox(folder / "live.db", quota=Quota(max_age_ms=DAY_MS * 3 // 2))
    facts = facts_of_two_days(facts_maker)
    for i in range(0, 840, 60):
        box.append(facts[i : i + 60], {"heard:LOG-1": f"{i}", "polled:LOG-2": f"{i}"})
    box.received(Ranges([(1, 100), (151, 200), (400, 450)]), Ranges())
    box._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert box.keep_age(facts_maker.stamp) > 30
    for i in range(840, len(facts), 60):
        box.append(facts[i : i + 60], {"heard:LOG-1": f"{i}"})
    unsent = {n.seq: n.fact for n in box.pending(1 << 30)}
    held = box.select(seq=ALL, limit=1 << 30)
    ever = {text(f) for f in facts} | {text(n.fact) for n in held}  # also what was thinned or forgotten
    keeper, log = folder / "keeper.db", folder / "live.db-wal"
    keeper.hardlink_to(folder / "live.db")
    found = Template(keeper, keeper.read_bytes(), log.read_bytes(), box.epoch, box.usage().numbered_to, unsent, ever)
    box.close()
    return found


def damage(rng: random.Random, folder: Path) -> str:
    """Spoil one place of the file or its log; what was done, in words."""
    name = rng.choice(["o.db", "o.db", "o.db-wal"])
    data = bytearray((folder / name).read_bytes())
    how = rng.choice(["bit", "bytes", "sector", "page", "cut", "zeros to the end", "head"])
    at = rng.randrange(len(data))
    if how == "bit":
        data[at] ^= 1 << rng.randrange(8)
    elif how == "bytes":
        data[at : at + 20] = rng.randbytes(len(data[at : at + 20]))
    elif how == "sector":
        at -= at % 512
        data[at : at + 512] = bytes(len(data[at : at + 512]))
    elif how == "page":
        at -= at % 4096
        data[at : at + 4096] = rng.randbytes(len(data[at : at + 4096]))
    elif how == "cut":
        del data[at:]
    elif how == "zeros to the end":
        data[at:] = bytes(len(data) - at)
    else:
        data[:100] = rng.randbytes(100)
    (folder / name).write_bytes(data)
    return f"{name}: {how} at {at}"


def check(box: SqliteOutbox, template: Template, whole: bool, what: str) -> tuple[int, Ranges]:
    """Everything that is there is true and there once; everything that is not there is named as lost."""
    given = {n: text(f) for n, f in template.unsent.items()}
    held = box.select(seq=ALL, limit=1 << 30)
    if box.identity().reason is EpochReason.SALVAGED:
        assert [n.seq for n in held] == list(range(1, box.usage().numbered_to + 1))
    events = [n.fact for n in held if isinstance(n.fact, Event) and n.fact.kind == LOST]
    lost = Ranges()
    for event in events:
        assert event.detail["epoch"] in (template.epoch, "")
        lost |= ranges_in(event)
    texts = [text(n.fact) for n in held if n.fact not in events]
    assert len(texts) == len(set(texts))
    assert set(texts) <= template.ever, what
    there = set(texts)
    missing = {n for n, t in given.items() if t not in there}
    if whole:
        assert not missing, what
    else:
        assert missing <= set(lost) | set(range(box_top(lost, given, texts) + 1, template.numbered_to + 1)), what
    return len(missing), lost


def box_top(lost: Ranges, given: dict[int, str], texts: list[str]) -> int:
    """The highest number that the salvage can have known of."""
    there = set(texts)
    return max([n for n, t in given.items() if t in there] + [span[1] for span in lost.spans], default=0)


def text(fact: Fact) -> str:
    return repr(fact)


@pytest.mark.parametrize("part", range(6))
def test_damage_anywhere_costs_no_more_than_its_place_and_is_told(
    tmp_path: Path, template: Template, part: int
) -> None:
    """Seeded, hundreds of real files. One place of damage: nothing false, nothing twice, what is lost is named."""
    salvaged = lost_numbers = 0
    for seed in range(part, RUNS, 6):
        rng = random.Random(seed)
        folder = tmp_path / str(seed)
        template.put(folder)
        what = f"seed {seed}, {damage(rng, folder)}"
        box = SqliteOutbox(folder / "o.db")
        box.select(seq=ALL, limit=1 << 30)
        box.pending(1 << 30)  # rows are checked when they are read
        identity = box.identity()
        assert identity.reason in (EpochReason.SALVAGED, EpochReason.NEW), what
        cut_tail = "o.db-wal" in what and identity.reason is EpochReason.NEW
        count, lost = check(box, template, whole=identity.reason is EpochReason.NEW and not cut_tail, what=what)
        if identity.reason is EpochReason.SALVAGED:
            salvaged += 1
            lost_numbers += len(lost)
            assert list(folder.glob("o.db.damaged-*")), what
            assert (identity.lost != "") == bool(lost), what
        assert box.append([template.unsent[max(template.unsent)]]), what
        if not any(word in what for word in ("cut", "zeros", "page")):
            # The last commit cannot be told from one that a power cut tore: then SQLite leaves all of it out.
            assert count <= (62 if "wal" in what else 30), what
        box.close()
        shutil.rmtree(folder)
    assert salvaged > 2


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 5000, b"no database at all\n" * 400, b"SQLite format 3\0", b"SQLite format 3\0" + b"\xff" * 9000],
    ids=["zero bytes", "zeros", "text", "a title", "a title and rubbish"],
)
def test_the_agent_starts_with_whatever_stands_in_its_place(tmp_path: Path, make: Any, content: bytes) -> None:
    path = tmp_path / "o.db"
    path.write_bytes(content)
    box = SqliteOutbox(path)
    assert box.append([make.reading()]).spans[0][0] >= 1
    assert box.identity().reason is (EpochReason.SALVAGED if content else EpochReason.NEW)
    box.close()
    again = SqliteOutbox(path)
    assert again.epoch == box.epoch
    again.close()
    aside = [p for p in tmp_path.glob("o.db.damaged-*") if not p.name.endswith("-wal")]
    assert [p.read_bytes() for p in aside] == ([content] if content else [])


@pytest.mark.parametrize("gone", [False, True])
def test_an_empty_or_missing_file_beside_a_full_log_is_damage_and_the_log_is_read(
    tmp_path: Path, template: Template, gone: bool
) -> None:
    path = template.put(tmp_path / "x")
    path.unlink()
    if not gone:
        path.write_bytes(b"")
    box = SqliteOutbox(path)
    assert box.identity().reason is EpochReason.SALVAGED
    texts = {text(n.fact) for n in box.pending(1 << 30)}
    assert len(texts & template.ever) > 300
    assert box.identity().lost
    box.close()


def test_a_log_broken_in_the_middle_is_not_dropped_without_a_word(tmp_path: Path, template: Template) -> None:
    """SQLite alone would open this file as sound, with all commits after the break gone and their numbers given anew."""
    path = template.put(tmp_path / "x")
    log = bytearray(template.log)
    log[len(log) // 3] ^= 4
    path.with_name("o.db-wal").write_bytes(log)
    box = SqliteOutbox(path)
    assert box.identity().reason is EpochReason.SALVAGED
    there = {text(n.fact) for n in box.pending(1 << 30)}
    missing = [n for n, f in template.unsent.items() if text(f) not in there]
    lost = Ranges((low, high) for low, high in json.loads(box.identity().lost or "[]"))
    assert set(missing) <= set(lost)
    assert len(missing) < 40
    box.close()


def test_a_sector_of_zeros_in_the_log_does_not_pass_for_its_end(tmp_path: Path, template: Template) -> None:
    """Found by seed 300: a frame without its salt looked like the end of what was written."""
    path = template.put(tmp_path / "x")
    log = bytearray(template.log)
    frame = 32 + (24 + 1024) * 40
    log[frame : frame + 512] = bytes(512)
    path.with_name("o.db-wal").write_bytes(log)
    box = SqliteOutbox(path)
    there = {text(n.fact) for n in box.pending(1 << 30)}
    missing = [n for n, f in template.unsent.items() if text(f) not in there]
    assert box.identity().reason is EpochReason.SALVAGED
    assert len(missing) < 40
    box.close()


def test_a_bit_that_falls_while_the_agent_runs_is_found_when_its_row_is_read(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "o.db"
    box = SqliteOutbox(path)
    box.append([make.reading(value=f"{i % 500}e-2") for i in range(300)], {"heard": "x"})
    epoch = box.epoch
    box._db.execute("UPDATE fact SET value = '777' WHERE seq = 7")
    assert box.pending(1 << 30) == []  # the caller's numbers were those of an epoch that has ended
    assert box.epoch != epoch
    assert (box.identity().reason, box.identity().lost) == (EpochReason.SALVAGED, "[[7,7]]")
    facts = [n.fact for n in box.pending(1 << 30)]
    assert len(facts) == 300
    assert isinstance(facts[-1], Event)
    assert (facts[-1].kind, facts[-1].detail["epoch"], facts[-1].detail["ranges"]) == (LOST, epoch, "[[7,7]]")
    assert box.hint("heard") == "x"
    assert box.append([make.reading()]) == Ranges([(301, 301)])
    box.close()


def test_a_damaged_hint_costs_that_hint(tmp_path: Path, make: Any) -> None:
    box = SqliteOutbox(tmp_path / "o.db")
    box.append([make.reading()], {"heard:A": "x", "heard:B": "y"})
    box._db.execute("UPDATE hint SET value = 'z' WHERE key = 'heard:A'")
    assert (box.hint("heard:A"), box.hint("heard:B")) == (None, "y")
    assert box.identity().lost == ""
    box.close()


def test_a_rebuilt_file_found_at_the_start_takes_its_place(tmp_path: Path, template: Template) -> None:
    """A power cut between the salvage and the change of names: the old log must not be read into the new file."""
    path = template.put(tmp_path / "x")
    data = bytearray(path.read_bytes())
    data[5_000:6_000] = bytes(1_000)
    path.write_bytes(data)
    salvage.rebuild(path)
    rebuilt = path.read_bytes()
    path.rename(path.with_name("o.db.rebuilt"))
    path.write_bytes(bytes(data))
    path.with_name("o.db-wal").write_bytes(template.log)
    box = SqliteOutbox(path)
    assert box.identity().reason is EpochReason.SALVAGED
    assert len(rebuilt) > 1000
    assert not path.with_name("o.db.rebuilt").exists()
    assert len(box.pending(1 << 30)) > 500
    box.close()


def test_only_two_damaged_files_are_kept(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "o.db"
    for number in range(4):
        path.write_bytes(b"rubbish %d" % number * 100)
        SqliteOutbox(path).close()
    aside = [p.read_bytes()[:9] for p in tmp_path.glob("o.db.damaged-*")]
    assert sorted(aside) == [b"rubbish 2", b"rubbish 3"]


def test_a_second_process_leaves_a_damaged_file_to_the_first(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "o.db"
    first = SqliteOutbox(path)
    first.append([make.reading()] * 10)
    first._db.execute("UPDATE meta SET chk = 1 WHERE key = 'state'")
    with pytest.raises(NeighbourDownError, match="another process"):
        SqliteOutbox(path)
    first.close()


def test_a_folder_that_cannot_be_is_told_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NeighbourDownError, match="owner of the file"):
        SqliteOutbox(tmp_path / "file" / "o.db")
    (tmp_path / "folder" / "o.db").mkdir(parents=True)
    with pytest.raises(NeighbourDownError, match="restart the agent"):
        SqliteOutbox(tmp_path / "folder" / "o.db")
