"""The control socket: one JSON object a line in, one JSON object a line out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from firmware_sim.plan import PlanError

MAX_LINE = 64 * 1024


async def serve_control(path: Path, answer: Callable[[object], dict[str, object]]) -> asyncio.Server:
    """Listen on a unix socket; ``answer`` may raise PlanError, which becomes ``{"ok": false, "error": ...}``."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(_reply(line, answer)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):  # ValueError: a line longer than the limit
            pass
        finally:
            writer.close()

    return await asyncio.start_unix_server(talk, path=str(path), limit=MAX_LINE)


def _reply(line: bytes, answer: Callable[[object], dict[str, object]]) -> dict[str, object]:
    try:
        return {"ok": True, **answer(json.loads(line))}
    except PlanError as error:
        return {"ok": False, "error": str(error)}
    except ValueError as error:
        return {"ok": False, "error": f"not a JSON line: {error}"}
