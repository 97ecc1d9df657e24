"""``smile-iot quarantine``: what was not accepted and why, in plain words; repair it, send it through, or put it aside."""

from __future__ import annotations

import argparse
import getpass
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smile_iot.parts import open_kept_records
from smile_iot.service import add_config_argument, settings_of
from telemetry.clock import clock_from_environment
from telemetry.errors import ConfigError, ContractError

if TYPE_CHECKING:
    from api.words import Words
    from gateway.records import QuarantineItem, Records

_REPAIRS = ("as_is", "undated", "readdress", "import", "supplied")
_HEAD = ("id", "site", "edge", "received", "bytes", "state", "reason")  # columns; quarantine_list has their words
_SHOWN = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="what waits, one line each")
    listed.add_argument("--site", default=None, help="this site's only")
    listed.add_argument("--all", action="store_true", help="also what was sent through or put aside")
    show = actions.add_parser("show", help="one message: why it waits, what to do, what it holds, what was done")
    correct = actions.add_parser("correct", help="keep a correction beside the original, which stays as it came")
    how = correct.add_mutually_exclusive_group(required=True)
    how.add_argument("--repair", choices=_REPAIRS[:-1], help="a repair that fits its reason (show lists them)")
    how.add_argument("--file", type=Path, metavar="FILE", help="the whole message as it should be")
    replay = actions.add_parser("replay", help="send it, or its correction, through ingest's check again")
    discard = actions.add_parser("discard", help="put it aside; it stays readable")
    for parser_ in (show, correct, replay, discard):
        parser_.add_argument("item", metavar="ID", help="the id, or its first signs")
    for parser_ in (correct, replay, discard):
        parser_.add_argument("--reason", required=True, help="why; it stays in the audit")
        parser_.add_argument("--actor", default=getpass.getuser(), help="who does it (default: the user name)")
    for parser_ in (listed, show, correct, replay, discard):
        parser_.add_argument("--language", choices=("id", "en"), default="id", help="language of the answer (id)")
        add_config_argument(parser_)


def run(args: argparse.Namespace) -> int:
    with open_kept_records(settings_of(args)) as records:
        for line in _ACTIONS[args.action](args, records):
            print(line)
    return 0


def _list(args: argparse.Namespace, records: Records) -> list[str]:
    from gateway.records import QuarantineState

    words = _words(args)
    items = records.quarantine_items(args.site, None if args.all else QuarantineState.WAITING)
    if not items:
        return [words("quarantine.none")]
    zones = _zones(records)
    rows = [tuple(words(f"quarantine_list.{name}") for name in _HEAD), *(_row(item, words, zones) for item in items)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _words(args: argparse.Namespace) -> Words:
    from api.words import Words

    return Words(args.language)


def _zones(records: Records) -> dict[str, str]:
    """The zone of each site's clock. What names no site that we know came at a time of UTC, and is told so."""
    return defaultdict(lambda: "UTC", {site.id: site.zone for site in records.registry().sites.values()})


def _row(item: QuarantineItem, words: Words, zones: Mapping[str, str]) -> tuple[str, ...]:
    if item.asked_ms is not None:
        state = words("quarantine_list.asked_for")
    else:
        state = words("quarantine_list.corrected") if item.repair else words.known("quarantine_state", item.state)
    place = (item.site or "-", item.edge or "-")
    received = words.time(item.received_ms, zones[item.site])
    return (item.id[:_SHOWN], *place, received, str(len(item.payload)), state, item.reason)


def _show(args: argparse.Namespace, records: Records) -> list[str]:
    from api.quarantine_words import explained, shown_payload

    words, item = _words(args), _find(records, args.item)
    zone = _zones(records)[item.site]
    said = explained(words, item.reason)
    received = words("quarantine_list.received_at", time=words.time(item.received_ms, zone))
    lines = [
        f"{item.id}  {said.title} ({item.reason}), {words.known('quarantine_state', item.state)}",
        f"  {said.means}",
        f"  {said.todo}",
        f"  {item.topic}, {received}: {item.detail}",
        *(f"  --repair {word}: {text}" for word, text in said.repairs),
        "" if said.repairs else f"  {words('quarantine_list.never')}",
        words("quarantine_list.came", n=len(item.payload)),
        shown_payload(item.payload)[0],
    ]
    if item.corrected is not None:
        head = words("quarantine_list.corrected_as", repair=item.repair, topic=item.corrected_topic)
        lines += [head, shown_payload(item.corrected)[0]]
    lines += [
        f"{words.time(r.at_ms, zone)} {r.actor}, {words.known('action', r.action)}: {r.reason}"
        for r in records.audit_of(f"quarantine:{item.id}")
    ]
    return [line for line in lines if line]


def _correct(args: argparse.Namespace, records: Records) -> list[str]:
    from gateway.records import UnknownRecord
    from gateway.repairs import Place, Repair, repaired

    settings = settings_of(args)
    item = _find(records, args.item)
    repair = Repair(args.repair or Repair.SUPPLIED)
    try:
        shard = records.site(item.site).shard
    except UnknownRecord:  # its topic, if it can be read, says where it belongs
        shard = settings.text("server.shard")
    try:
        supplied = args.file.read_bytes() if args.file else b""
        topic, payload = repaired(item, repair, Place(shard, settings.text("import.edge")), supplied)
    except OSError as error:
        raise ConfigError("--file", f"cannot read {args.file}: {error.strerror}") from error
    except ContractError as error:
        raise ConfigError(
            "--repair" if args.repair else "--file", str(error), advice="show lists what fits"
        ) from error
    records.correct_quarantine(item.id, repair, topic, payload, *_act(args))
    return [_words(args)("quarantine_list.did_correct", id=item.id, repair=repair)]


def _replay(args: argparse.Namespace, records: Records) -> list[str]:
    item = records.ask_replay(_find(records, args.item).id, *_act(args))
    return [_words(args)("quarantine_list.did_ask", id=item.id)]


def _discard(args: argparse.Namespace, records: Records) -> list[str]:
    item = records.settle_quarantine(_find(records, args.item).id, "discarded", *_act(args))
    return [_words(args)("quarantine_list.did_aside", id=item.id)]


def _act(args: argparse.Namespace) -> tuple[Any, str, int]:
    from gateway.records import Actor, Role

    return Actor(args.actor, Role.SUPER_ADMIN), args.reason, clock_from_environment().now_ms()


def _find(records: Records, start: str) -> QuarantineItem:
    """The item whose id begins so; raises ConfigError where none or several do."""
    found = [item for item in records.quarantine_items(state=None) if item.id.startswith(start)]
    if len(found) != 1:
        raise ConfigError("ID", f"{len(found)} messages have an id that begins with {start!r}", advice="see list")
    return found[0]


_ACTIONS: dict[str, Callable[[argparse.Namespace, Records], Sequence[str]]] = {
    "list": _list,
    "show": _show,
    "correct": _correct,
    "replay": _replay,
    "discard": _discard,
}
