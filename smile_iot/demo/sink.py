"""A chat channel of the virtual site: what Apprise posts to it (``json://``) is kept for the script to look at."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_MAX_BYTES = 64 * 1024


@dataclass(slots=True)
class ChatSink:
    """Listens on a free port of the loopback address from construction until ``close``."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    _server: ThreadingHTTPServer = field(init=False)

    def __post_init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.messages.append))
        threading.Thread(target=self._server.serve_forever, name="chat sink", daemon=True).start()

    @property
    def contact(self) -> str:
        """The Apprise URL of this channel."""
        return f"json://127.0.0.1:{self._server.server_address[1]}/chat"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(keep: Callable[[dict[str, Any]], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = min(int(self.headers.get("content-length", "0")), _MAX_BYTES)
            keep(json.loads(self.rfile.read(size)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the library's name)
            """Say nothing: the script speaks."""

    return Handler
