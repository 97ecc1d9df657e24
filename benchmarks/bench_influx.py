"""InfluxDB's ceiling: prebuilt line protocol sent by wrk, as fast as the server answers "on disk".

Two kinds of lines: bare points (a sensor, a value, a number: what ``facts/data-path.md`` set the goals against), and the
very lines that our store writes, caught on their way.
"""

from __future__ import annotations

import http.server
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.bench_cpu import threads_s
from benchmarks.bench_messages import MINUTE_MS, SENSORS, batches
from ingest.store.influx import InfluxStore
from ingest.store.local_influx import LocalInflux
from telemetry.errors import NeighbourDownError

_ENOUGH = 20
_LONGEST_S = 30
_LUA = """\
local bodies, at = {{}}, 0
function init(args)
  for i = 0, {count} - 1 do
    local file = io.open("{folder}/" .. i, "rb"); bodies[#bodies + 1] = file:read("*a"); file:close()
  end
end
function request()
  at = at % #bodies + 1
  return wrk.format("POST", "{path}", {{["Content-Type"] = "text/plain"}}, bodies[at])
end
function response(status)
  if status ~= 204 then print("status " .. status) end
end
"""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Points a second and influxd's CPU microseconds a point."""

    per_s: float
    us: float


def bare_bodies(count: int, points: int, now_ms: int) -> Iterator[bytes]:
    """Bodies of points with one tag, a value and a number, 1,000 series, minute by minute."""
    streams = [f"m,sensor=T{edge:04d}-{sensor}/temperature_c" for edge in range(100) for sensor in range(SENSORS)]
    first_ms = now_ms - MINUTE_MS * (count * points // len(streams) + 2)
    minute = 0
    for _ in range(count):
        lines: list[str] = []
        while len(lines) < points:
            t_ms = first_ms + minute * MINUTE_MS
            values = (f"value={4 + (minute * 7 + n) % 300 / 100:.2f},seq={minute}i" for n in range(len(streams)))
            lines += [f"{key} {value} {t_ms}" for key, value in zip(streams, values, strict=True)]
            minute += 1
        yield "\n".join(lines[:points]).encode()


def our_bodies(folder: Path, count: int, points: int, now_ms: int) -> list[bytes]:
    """The bodies that ``InfluxStore`` posts for the readings of the bench's fleet."""
    with _catching() as (url, caught):
        store = InfluxStore(url, "o", "b", "t", index_path=folder / "caught_index.db")
        edges, minutes = 100, 5
        total = count * points // (edges * SENSORS)
        first_ms = now_ms - MINUTE_MS * (total + 2)
        for minute in range(0, total, minutes):
            store.append_columns(batches(edges, minute, minutes, first_ms, now_ms))
        store.close()
    return _joined(caught, points)


def _joined(caught: Sequence[bytes], points: int) -> list[bytes]:
    """Bodies of about ``points`` lines each."""
    lines = [line for body in caught for line in body.split(b"\n")]
    return [b"\n".join(lines[at : at + points]) for at in range(0, len(lines) - points + 1, points)]


@contextmanager
def _catching() -> Iterator[tuple[str, list[bytes]]]:
    """A server that takes any body and answers 204 (and "nothing" to queries)."""
    caught: list[bytes] = []

    class Catch(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            caught.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def do_GET(self) -> None:
            answer = b'{"results":[{}]}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Catch)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", caught
    finally:
        server.shutdown()
        server.server_close()


def ceiling(
    folder: Path,
    bodies: Sequence[bytes],
    runs: int,
    seconds: int,
    *,
    direct: bool,
    connections: Sequence[int] = (2, 4),
) -> Ceiling:
    """The best of the numbers of connections, each the median of ``runs`` with a database of its own."""
    if shutil.which("wrk") is None:
        raise NeighbourDownError("wrk", "is not installed", advice="apt-get install wrk")
    found: list[Ceiling] = []
    for number in connections:
        each = [_once(folder / f"{number}-{run}", bodies, seconds, number, direct=direct) for run in range(runs)]
        found.append(Ceiling(median(c.per_s for c in each), median(c.us for c in each)))
    return max(found, key=lambda c: c.per_s)


def _once(folder: Path, bodies: Sequence[bytes], seconds: int, connections: int, *, direct: bool) -> Ceiling:
    influx = LocalInflux(folder)
    influx.start()
    try:
        script = _script(folder, bodies, influx, direct=direct)
        url = influx.direct_url if direct else influx.url
        while True:  # longer on a slow machine: a figure of a few answers is none
            before = sum(threads_s([influx.pids["influxd"]]).values())
            requests, per_s = _wrk(script, url, seconds, connections)
            spent_s = sum(threads_s([influx.pids["influxd"]]).values()) - before
            if requests >= _ENOUGH or seconds > _LONGEST_S:
                break
            seconds *= 3
    finally:
        influx.stop()
        shutil.rmtree(folder, ignore_errors=True)
    lines = bodies[0].count(b"\n") + 1
    return Ceiling(per_s * lines, spent_s * 1e6 / max(1, requests * lines))


def _wrk(script: Path, url: str, seconds: int, connections: int) -> tuple[int, float]:
    """(requests that were answered, requests a second)."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", str(script), url]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    if "status" in said or "Non-2xx" in said:
        raise NeighbourDownError("InfluxDB", f"refused prebuilt lines: {said[:300]}")
    return int(_found(r"(\d+) requests in", said)), float(_found(r"Requests/sec:\s+([\d.]+)", said))


def _script(folder: Path, bodies: Sequence[bytes], influx: LocalInflux, *, direct: bool) -> Path:
    path = f"/api/v2/write?org=o&bucket={influx.bucket}&precision=ms"
    if direct:
        user, password = influx.token.split(":")
        path = f"/write?db={influx.bucket}&precision=ms&u={user}&p={password}"
    for number, body in enumerate(bodies):
        (folder / "bodies").mkdir(exist_ok=True)
        (folder / "bodies" / str(number)).write_bytes(body)
    script = folder / "wrk.lua"
    text = _LUA.format(count=len(bodies), folder=folder / "bodies", path=path)
    if not direct:
        text = text.replace('"text/plain"', f'"text/plain", ["Authorization"] = "Token {influx.token}"')
    script.write_text(text)
    return script


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise NeighbourDownError("wrk", f"said something else: {text[:300]}")
    return match.group(1)
