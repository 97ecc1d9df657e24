"""``smile-iot gateway resend``: a person asks an edge to send again what lies in a span of time, or some numbers.

Ingest asks by itself for numbers that are missing in the epoch an edge lives in. A person asks where only a person can
know: the journal and the edge's outbox were both restored from backups, or a store was lost. By time also what was
receipted under an earlier epoch is sent again, under new numbers; what is here already is counted and not doubled.
"""

from __future__ import annotations

import argparse
import logging
import sys
import uuid
from typing import TYPE_CHECKING, Any

from smile_iot.parts import ingest_config, open_records
from smile_iot.service import add_config_argument, settings_of
from smile_iot.settings import Settings
from telemetry.contract import Request, encode_request, parse_iso_utc
from telemetry.errors import ConfigError, ContractError, NeighbourDownError
from telemetry.readings import Ranges
from telemetry.topics import EdgeAddress

if TYPE_CHECKING:
    from ingest.config import BrokerConfig


def add_action(actions: Any) -> None:
    """``actions`` is what ``add_subparsers`` gave."""
    parser = actions.add_parser("resend", help="ask an edge to send again a span of time (up to six months back)")
    parser.add_argument("--site", required=True, help="the site's id")
    parser.add_argument("--edge", required=True, help="the edge's id at that site")
    parser.add_argument("--from", dest="start", metavar="TIME", help="with offset, e.g. 2026-11-20T00:00:00+07:00")
    parser.add_argument("--to", dest="end", metavar="TIME", help="the end, included")
    parser.add_argument("--numbers", metavar="1-20,25", help="numbers of the epoch that the edge lives in")
    parser.add_argument("--only", choices=("all", "unreceipted"), default="all", help="default: all")
    add_config_argument(parser)


def run(args: argparse.Namespace) -> int:
    """0 when the broker has the request; raises ConfigError, NeighbourDownError."""
    settings = settings_of(args)
    request = request_of(args)
    topic = EdgeAddress(_shard(settings, args.site), args.site, args.edge).down("request")
    if not _is_known(settings, args.site, args.edge):
        print(
            f"no device and no enrolment names edge {args.edge} of {args.site}: is it spelt right?", file=sys.stderr
        )
    _publish(ingest_config(settings).broker, topic, encode_request(request))
    print(f"asked {args.site}/{args.edge} (request {request.request_id}).")
    print("It answers when it is connected; smile-iot ledger shows what came, the log of the edge how much it sent.")
    return 0


def request_of(args: argparse.Namespace) -> Request:
    """The request that the words of the call make; raises ConfigError."""
    if bool(args.numbers) == bool(args.start or args.end) or bool(args.start) != bool(args.end):
        raise ConfigError("--from", "give --from and --to, or --numbers")
    if args.numbers:
        return Request(uuid.uuid4().hex, _numbers(args.numbers), only=args.only)
    try:
        from_ms, to_ms = parse_iso_utc(args.start), parse_iso_utc(args.end)
    except ContractError as error:
        raise ConfigError("--from", error.detail, advice="write 2026-11-20T00:00:00+07:00") from error
    if from_ms > to_ms:
        raise ConfigError("--to", "lies before --from")
    return Request(uuid.uuid4().hex, from_ms=from_ms, to_ms=to_ms, only=args.only)


def _numbers(text: str) -> Ranges:
    try:
        spans = [part.partition("-") for part in text.split(",")]
        return Ranges((int(low), int(high or low)) for low, _, high in spans)
    except ValueError as error:
        raise ConfigError("--numbers", f"{text!r} is not like 1-20,25") from error


def _shard(settings: Settings, site_id: str) -> str:
    with open_records(settings) as records:
        site = records.registry().sites.get(site_id)
    if site is None:
        raise ConfigError("--site", f"{site_id!r} is not registered")
    return site.shard


def _is_known(settings: Settings, site: str, edge: str) -> bool:
    """Whether the records name this edge. One that they do not name may be there all the same: it is asked."""
    with open_records(settings) as records:
        devices = records.registry().devices.values()
        return records.find_edge(site, edge) is not None or any((d.site, d.edge) == (site, edge) for d in devices)


def _publish(broker: BrokerConfig, topic: str, payload: bytes) -> None:
    """One message as ingest's account, under a client id of its own so that ingest is not thrown out."""
    from paho.mqtt import MQTTException, publish

    # paho warns "Client is not connected" of a message that it sends once it is: no word for a person
    logging.getLogger("paho").addHandler(logging.NullHandler())
    try:
        publish.single(
            topic,
            payload,
            qos=1,
            hostname=broker.host,
            port=broker.port,
            client_id=f"smile-iot-resend-{uuid.uuid4().hex[:8]}",
            auth={"username": broker.username, "password": broker.password or ""} if broker.username else None,
            tls={"ca_certs": broker.ca_file} if broker.ca_file else None,
        )
    except (OSError, MQTTException) as error:
        raise NeighbourDownError(
            f"broker {broker.host}:{broker.port}", str(error), advice="see whether it runs; give the command again"
        ) from error
