"""Bytes to lines, whatever way the bytes are split. Pure."""

from __future__ import annotations


class LineBuffer:
    """Lines end with LF; a line longer than ``limit`` loses its beginning (decoders look from the right end)."""

    def __init__(self, limit: int = 256) -> None:
        self._limit = limit
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completed, without CR LF and without empty ones."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-self._limit :]
        return [line for line in (raw.rstrip(b"\r")[-self._limit :] for raw in lines) if line]
