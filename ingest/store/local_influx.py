"""A local InfluxDB 1.x behind nginx, so that influxdb-client (which speaks 2.x) writes to it unchanged.

Debian's ``influxdb`` (1.6.7) has no ``/api/v2/write``; nginx rewrites it to ``/write`` and turns the header
``Authorization: Token user:password`` into the query arguments that 1.x wants (``facts/data-path.md`` 1). For the
demo and for tests: free ports on 127.0.0.1, a folder of its own, authentication on, a password that nobody chose.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

import httpx

from telemetry.errors import NeighbourDownError

NGINX_TEMPLATE = """\
daemon off;
{user}
pid {folder}/nginx.pid;
error_log stderr warn;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_max_body_size 25m;
  # A body that goes through a file (by default from 16 KB on) waits 40 ms on its way to InfluxDB for a delayed
  # acknowledgement: nginx sends the request's head, and the file only when that is acknowledged.
  client_body_buffer_size 8m;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  upstream influx {{ server 127.0.0.1:{influx_port}; keepalive 8; }}
  map $arg_precision $v1prec {{ default $arg_precision; ns n; us u; "" n; }}
  map $arg_bucket $v1db {{ default $arg_bucket; "~^(?<d1>[^%]+)%2[Ff](?<r1>.+)$" $d1; }}
  map $arg_bucket $v1rp {{ default ""; "~^(?<d2>[^%]+)%2[Ff](?<r2>.+)$" "&rp=$r2"; }}
  map $http_authorization $v1auth {{ default ""; "~^Token (?<u>[^:]+):(?<p>.+)$" "&u=$u&p=$p"; }}
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  proxy_set_header Authorization "";
  server {{
    listen 127.0.0.1:{port};
    location = /api/v2/write {{
      set $v1args "db=$v1db$v1rp$v1auth&precision=$v1prec";
      rewrite ^ /write?$v1args? break;
      proxy_pass http://influx;
    }}
    location = /query {{
      set $v1query "$args$v1auth";
      rewrite ^ /query?$v1query? break;
      proxy_pass http://influx;
    }}
    location = /ping {{ proxy_pass http://influx; }}
  }}
}}
"""

INFLUX_TEMPLATE = """\
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  wal-fsync-delay = "0s"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{influx_port}"
  auth-enabled = true
  log-enabled = false
  access-log-path = ""
"""
_USER = "smile"
_START_S = 30.0
_SBIN = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"


def missing_programs() -> list[str]:
    """Debian packages to install before this works; [] when all are here."""
    packages = {"influxd": "influxdb", "nginx": "nginx-light"}
    return [package for program, package in packages.items() if shutil.which(program, path=_SBIN) is None]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LocalInflux:
    """``start`` and ``stop``; ``url``, ``org``, ``bucket``, ``token`` are what ``StoreConfig`` wants.

    Data outlive ``stop`` in ``folder``: a second ``start``, also of another object, finds them and the password.
    """

    def __init__(self, folder: Path, *, port: int = 0, bucket: str = "smile") -> None:
        self.folder = folder
        self.port = port or _free_port()
        self.org = "smile"
        self.bucket = bucket
        self._influx_port = _free_port()
        self._influxd: subprocess.Popen[bytes] | None = None
        self._nginx: subprocess.Popen[bytes] | None = None
        self._password = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return f"{_USER}:{self._password}"

    @property
    def pids(self) -> dict[str, int]:
        """{"influxd": .., "nginx": ..} of those that run."""
        running = {"influxd": self._influxd, "nginx": self._nginx}
        return {name: process.pid for name, process in running.items() if process is not None}

    @property
    def direct_url(self) -> str:
        """InfluxDB itself, without nginx: ``/write`` of 1.x."""
        return f"http://127.0.0.1:{self._influx_port}"

    def start(self) -> None:
        """Both programs run and the database is there at return; raises NeighbourDownError otherwise."""
        missing = missing_programs()
        if missing:
            raise NeighbourDownError(
                "InfluxDB",
                f"not installed: {', '.join(missing)}",
                advice=f"apt-get install -y --no-install-recommends {' '.join(missing)}",
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self._password = self._kept_password()
        try:
            self._start_influxd()
            self._start_nginx()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End both; InfluxDB closes its files."""
        for process in (self._nginx, self._influxd):
            if process is not None:
                process.terminate()
                process.wait(20)
        self._nginx = self._influxd = None

    def kill_influxd(self) -> None:
        """As a power cut would end it (nginx stays and answers 502)."""
        if self._influxd is not None:
            self._influxd.kill()
            self._influxd.wait()
            self._influxd = None

    def restart_influxd(self) -> None:
        """Bring it back on the same port with the same data."""
        self.kill_influxd()
        self._start_influxd()

    def _kept_password(self) -> str:
        path = self.folder / "password"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(16))
        return path.read_text()

    def _start_influxd(self) -> None:
        config = self.folder / "influxdb.conf"
        config.write_text(
            INFLUX_TEMPLATE.format(folder=self.folder, influx_port=self._influx_port, rpc_port=_free_port())
        )
        self._influxd = self._run("influxd", ["run", "-config", str(config)])
        base = f"http://127.0.0.1:{self._influx_port}"
        self._wait(self._influxd, f"{base}/ping", "influxd")
        # With authentication on and no user yet, 1.x lets anyone create the first administrator, and nothing else.
        first = f"CREATE USER {_USER} WITH PASSWORD '{self._password}' WITH ALL PRIVILEGES"
        httpx.post(f"{base}/query", data={"q": first}, timeout=10)
        self.make_bucket(self.bucket)

    def make_bucket(self, name: str) -> None:
        """A database that keeps its data for ever; nothing happens if it is there."""
        made = httpx.post(
            f"http://127.0.0.1:{self._influx_port}/query",
            data={"q": f'CREATE DATABASE "{name}"'},
            auth=(_USER, self._password),
            timeout=10,
        )
        if made.status_code != httpx.codes.OK or "error" in made.text:
            raise NeighbourDownError("InfluxDB", f"the database was refused: {made.text[:200]}")

    def _start_nginx(self) -> None:
        config = self.folder / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""
        config.write_text(
            NGINX_TEMPLATE.format(folder=self.folder, port=self.port, influx_port=self._influx_port, user=user)
        )
        self._nginx = self._run("nginx", ["-p", str(self.folder), "-c", str(config)])
        self._wait(self._nginx, f"{self.url}/ping", "nginx")

    def _run(self, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        program = shutil.which(name, path=_SBIN)
        assert program is not None  # noqa: S101  (start looked for it)
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen([program, *arguments], stdout=log, stderr=log)

    def _wait(self, process: subprocess.Popen[bytes], url: str, name: str) -> None:
        deadline = time.monotonic() + _START_S
        while process.poll() is None and time.monotonic() < deadline:
            try:
                if httpx.get(url, timeout=2).status_code == httpx.codes.NO_CONTENT:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
        log = (self.folder / f"{name}.log").read_text(errors="replace")[-400:]
        raise NeighbourDownError("InfluxDB", f"{name} did not start: {log}")
