"""Every answer a database, a proxy or a bad link can give to a write, from a stand-in over real HTTP.

What the answer means is the same for all of them: either "these data" (a line is rejected and the rest stored), or
"later" or "this set-up" (nothing is rejected, nothing is lost, and the same call succeeds when the answer changes).
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import ingest.store.influx as influx_module
from ingest.store import Row
from ingest.store.influx import InfluxStore
from telemetry.errors import NeighbourDownError

S = "T1/temperature_c"
FOREVER = (0, 1 << 43)
HTML = "<html><head><title>502 Bad Gateway</title></head>\n<body>nginx</body></html>"
_SPAN = re.compile(r"\"stream\" = '([^']*)' AND time >= (\d+)ms AND time <=? (\d+)ms")
RowMaker = Callable[..., Row]
Answer = Callable[["Server", "Handler", list[str]], None]


class Server(ThreadingHTTPServer):
    """Points by (measurement and tags, time), as the real one overwrites. ``answers`` are given before it works."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.points: dict[tuple[str, int], dict[str, Any]] = {}
        self.answers: list[Answer] = []
        self.bodies: list[int] = []
        self.always: Answer | None = None
        self.over = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what some of the tests are about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def keep(self, lines: list[str]) -> None:
        for line in lines:
            key, fields, t_ms = line.split(" ")
            self.points.setdefault((key, int(t_ms)), {}).update(part.split("=") for part in fields.split(","))

    def found(self, query: str) -> list[dict[str, Any]]:
        asked = _SPAN.search(query)
        if asked is None:
            return []
        stream, low, high = asked.group(1), int(asked.group(2)), int(asked.group(3))
        measurement = query.split('"')[1]
        points = []
        for (key, t_ms), fields in sorted(self.points.items(), key=lambda item: item[0][1]):
            name, *tags = key.split(",")
            point = {"time": t_ms, **dict(tag.split("=") for tag in tags), **fields}
            if name == measurement and point["stream"] == stream and low <= t_ms < high + ("<= " in query):
                points.append({k: v.rstrip("i") if k in fields else v for k, v in point.items()})
        return points[: int(query.rsplit("LIMIT ", 1)[1])] if "LIMIT" in query else points


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        lines = self.rfile.read(int(self.headers["Content-Length"])).decode().splitlines()
        readings = [line for line in lines if line.startswith("readings,")]
        if not readings:
            self.server.keep(lines)
            return self.say(204)
        self.server.bodies.append(len(lines))
        if self.server.answers:
            return self.server.answers.pop(0)(self.server, self, lines)
        if self.server.always is not None:
            return self.server.always(self.server, self, lines)
        self.server.keep(lines)
        return self.say(204)

    def do_GET(self) -> None:
        points = self.server.found(parse_qs(urlsplit(self.path).query)["q"][0])
        columns = sorted({name for point in points for name in point})
        series = [{"name": "x", "columns": columns, "values": [[p.get(c) for c in columns] for p in points]}]
        self.say(200, json.dumps({"results": [{"series": series} if points else {}]}))

    def say(self, status: int, body: str = "", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


def says(status: int, body: str = "", **headers: str) -> Answer:
    return lambda _server, handler, _lines: handler.say(status, body, **headers)


def reset(server: Server, handler: Handler, lines: list[str]) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def stores_and_resets(server: Server, handler: Handler, lines: list[str]) -> None:
    server.keep(lines)
    reset(server, handler, lines)


def half_an_answer(server: Server, handler: Handler, lines: list[str]) -> None:
    handler.wfile.write(b'HTTP/1.1 500 Internal Server Error\r\nContent-Length: 400\r\n\r\n{"err')
    handler.wfile.flush()
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def silence(server: Server, handler: Handler, lines: list[str]) -> None:
    server.over.wait(60)
    handler.close_connection = True


def slow_and_stored(server: Server, handler: Handler, lines: list[str]) -> None:
    server.keep(lines)
    silence(server, handler, lines)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        yield made
        made.over.set()
        made.shutdown()
        thread.join()


@pytest.fixture
def stand_in(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InfluxStore]:
    monkeypatch.setattr(influx_module, "_TIMEOUT_MS", 3_000)
    made = InfluxStore(server.url, "o", "b", "u:p", index_path=tmp_path / "index.db")
    yield made
    made.close()


LATER = [
    ("401 a wrong token", says(401, '{"error":"authorization failed"}'), "authorization failed", 0),
    ("403 a token that may only read", says(403, '{"code":"forbidden","message":"insufficient"}'), "insufficient", 0),
    ("404 no such bucket", says(404, '{"error":"database not found: \\"b\\""}'), "database not found", 0),
    ("429 too many requests", says(429, "slow down", Retry_After="7"), "429 slow down", 7),
    ("500 its own fault", says(500, '{"error":"engine: cache-max-memory-size exceeded"}'), "cache-max-memory", 0),
    ("502 nginx answers for it", says(502, HTML), "502 <html>", 0),
    ("503 it starts", says(503, "", Retry_After="30"), "503", 30),
    ("503 with a date", says(503, "", Retry_After="Fri, 27 Nov 2026 00:00:00 GMT"), "503", 0),
    ("200 a captive portal takes everything", says(200, "<html>Please log in</html>"), "never says", 0),
    ("202 a queue took it, no disk did", says(202), "never says", 0),
    ("a reset", reset, "InfluxDB", 0),
    ("a reset after it was stored", stores_and_resets, "InfluxDB", 0),
    ("half an answer", half_an_answer, "InfluxDB", 0),
    ("no answer in time", silence, "InfluxDB", 0),
    ("stored, and no answer in time", slow_and_stored, "InfluxDB", 0),
]


@pytest.mark.parametrize(("answer", "words", "wait_s"), [c[1:] for c in LATER], ids=[c[0] for c in LATER])
def test_later_or_a_wrong_set_up_costs_nothing_and_doubles_nothing(
    server: Server, stand_in: InfluxStore, row: RowMaker, answer: Answer, words: str, wait_s: float
) -> None:
    rows = [row(n, str(n)) for n in range(6)] + [row(3, "9"), row(7, None)]
    server.answers = [answer]
    with pytest.raises(NeighbourDownError, match=re.escape(words)) as caught:
        stand_in.append(rows)
    assert caught.value.again
    assert caught.value.retry_after_s == wait_s
    assert "\n" not in caught.value.message
    result = stand_in.append(rows)
    assert result.rejected == ()
    assert result.committed + result.duplicates == len(rows)
    kept = stand_in.read(S, *FOREVER).rows
    assert [(r.t_ms, r.value, r.variant) for r in kept] == [
        (r.t_ms, r.value, v) for r, v in sorted(zip(rows, [0] * 6 + [1, 0], strict=True), key=lambda p: p[0].t_ms)
    ]


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("partial", [True, False], ids=["keeps the good lines", "refuses the whole body"])
def test_one_bad_line_is_rejected_with_the_servers_words_and_the_rest_stored(
    server: Server, stand_in: InfluxStore, row: RowMaker, status: int, partial: bool
) -> None:
    def refuses_the_seventh(server: Server, handler: Handler, lines: list[str]) -> None:
        bad = [line for line in lines if "value=7.0," in line]
        if partial or not bad:
            server.keep([line for line in lines if line not in bad])
        handler.say(status if bad else 204, '{"error":"partial write: field type conflict dropped=1"}' if bad else "")

    server.always = refuses_the_seventh
    rows = [row(n, str(n)) for n in range(100)]
    result = stand_in.append(rows)
    assert [(r, why) for r, why in result.rejected] == [
        (rows[7], f"{status} partial write: field type conflict dropped=1")
    ]
    assert result.committed == 99
    assert len(stand_in.read(S, *FOREVER).rows) == 99
    assert len(server.bodies) < 20


def test_of_live_readings_that_go_the_short_way_only_the_bad_line_is_refused(
    server: Server, stand_in: InfluxStore, row: RowMaker
) -> None:
    """The short way posts whole batches and counts no lines; what is refused is sought in the general way."""
    names = [S, "T2/temperature_c", "T3/temperature_c"]
    stand_in.append([row(0, stream_id=name) for name in names])
    rows = [row(n, stream_id=name) for name in names for n in range(1, 41)]
    bad = rows[47]

    def refuses_one(server: Server, handler: Handler, lines: list[str]) -> None:
        good = [line for line in lines if not (bad.stream_id in line and line.endswith(f" {bad.t_ms}"))]
        server.keep(good)
        handler.say(204 if good == lines else 400, "" if good == lines else '{"error":"partial write: dropped=1"}')

    server.always = refuses_one
    server.bodies.clear()
    result = stand_in.append(rows)
    assert server.bodies[0] == len(rows)
    assert result.rejected == ((bad, "400 partial write: dropped=1"),)
    assert (result.committed, result.duplicates, result.conflicts) == (len(rows) - 1, 0, 0)
    assert sum(len(stand_in.read(name, *FOREVER).rows) for name in names) == len(names) + len(rows) - 1
    assert stand_in.append(rows[:40]).duplicates == 40


def test_a_body_that_is_too_large_is_halved_and_the_next_ones_are_smaller(
    server: Server, stand_in: InfluxStore, row: RowMaker
) -> None:
    def takes_thirty(server: Server, handler: Handler, lines: list[str]) -> None:
        if len(lines) > 30:
            return handler.say(413, '{"error":"Request Entity Too Large"}')
        server.keep(lines)
        return handler.say(204)

    server.always = takes_thirty
    assert stand_in.append([row(n) for n in range(200)]).committed == 200
    server.bodies.clear()
    assert stand_in.append([row(n) for n in range(200, 400)]).committed == 200
    assert max(server.bodies) <= 30
    assert len(stand_in.read(S, *FOREVER).rows) == 400


def test_a_server_that_takes_no_size_at_all_is_a_wrong_set_up(
    server: Server, stand_in: InfluxStore, row: RowMaker
) -> None:
    server.always = says(413, HTML)
    with pytest.raises(NeighbourDownError, match="413"):
        stand_in.append([row(n) for n in range(50)])
    server.always = None
    assert stand_in.append([row(n) for n in range(50)]).committed == 50


def test_all_lines_bad_cost_a_bounded_number_of_requests_and_each_is_told(
    server: Server, stand_in: InfluxStore, row: RowMaker
) -> None:
    server.always = says(400, '{"error":"unable to parse"}')
    rows = [row(n) for n in range(5_000)]
    result = stand_in.append(rows)
    assert len(result.rejected) == 5_000
    assert len(server.bodies) < 150
    server.always = None
    assert stand_in.append(rows).committed == 5_000  # nothing remembered as stored


@pytest.mark.parametrize("body", ["", "<html>", '{"results":[{"error":"timeout"}]}', '{"results":[]}', '{"res'])
def test_an_answer_to_a_question_that_is_none_is_down(
    server: Server, stand_in: InfluxStore, row: RowMaker, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.append([row(1), row(2)])
    monkeypatch.setattr(Handler, "do_GET", lambda handler: handler.say(200, body))
    for call in (lambda: stand_in.append([row(1)]), lambda: stand_in.count(S), lambda: stand_in.latest([S])):
        with pytest.raises(NeighbourDownError):
            call()
