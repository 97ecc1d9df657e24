"""``smile-iot demo``: play the script on a virtual site; exit 0 only when every step really happened."""

from __future__ import annotations

import argparse
import shutil
import signal
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from telemetry.errors import SmileIotError

# Virtual time ends before the real present, and lies inside the three months that SMILE's history shows.
_STORY_BEGINS_DAYS_AGO = 2
_STORY_BEGINS_HOUR_UTC = 22  # 05:00 in Jakarta


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--headless", action="store_true", help="play the script, write the report, and end")
    parser.add_argument("--report", type=Path, metavar="DIR", help="folder for report.json and the logs")
    parser.add_argument("--seed", type=int, default=1, help="fixes values, faults and final content (default 1)")
    parser.add_argument("--speed", type=float, default=450.0, help="virtual seconds per second (default 450)")
    parser.add_argument("--store", choices=("sqlite", "influx"), default="sqlite", help="where time series go")
    parser.add_argument("--kills", action="store_true", help="shoot edge and ingest with SIGKILL in the middle")


def default_start_ms(now: datetime) -> int:
    """05:00 in Jakarta two days ago."""
    day = (now - timedelta(days=_STORY_BEGINS_DAYS_AGO)).date()
    at = datetime(day.year, day.month, day.day, _STORY_BEGINS_HOUR_UTC, tzinfo=UTC)
    return int(at.timestamp()) * 1000


def run(args: argparse.Namespace) -> int:
    import httpx

    from smile_iot.demo.play import Play, StepError
    from smile_iot.demo.scenario import whole_site
    from smile_iot.demo.script import STEPS
    from smile_iot.demo.site_file import SITE
    from smile_iot.demo.world import World

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    for caught in (signal.SIGINT, signal.SIGTERM):
        signal.signal(caught, interrupt)  # also where a shell started us with SIGINT ignored
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {text}", flush=True)

    t0_ms = default_start_ms(datetime.fromtimestamp(time.time_ns() / 1e9, UTC))
    scenario = whole_site(args.seed, args.speed, t0_ms, kills=args.kills)
    folder = Path(tempfile.mkdtemp(prefix="smile-iot-demo-"))
    world = World(folder, scenario, SITE, store_kind=args.store)
    play = Play(world, say)
    steps: list[dict[str, Any]] = []
    failed, ended_early = "", False
    try:
        for number, (name, step) in enumerate(STEPS, 1):
            say(f"{number:2}/{len(STEPS)} {name}")
            step(play)
            steps.append({"step": name, "real_s": round(time.monotonic() - started, 1)})
        failed = _report(play, args.report, steps, say)
        if not failed and not args.headless:
            _stay_up(play, say)
    except (StepError, SmileIotError, RuntimeError, OSError, httpx.HTTPError) as error:
        failed = str(error) or repr(error)
    except KeyboardInterrupt:
        ended_early = len(steps) < len(STEPS)
        say("ended before the script was over" if ended_early else "ended")
    finally:
        world.stop()
        if args.report:
            shutil.copytree(world.logs, args.report / "logs", dirs_exist_ok=True)
            if world.produced_file.exists():
                shutil.copy(world.produced_file, args.report / "produced.ndjson")
        if failed:
            say(f"FAILED: {failed}")
            say(f"what is left stands in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 130 if ended_early else 0


def _report(play: Any, folder: Path | None, steps: list[dict[str, Any]], say: Any) -> str:
    """Close the books; what does not balance, or ""."""
    from smile_iot.demo.books import close_books, write_report

    body, problems = close_books(play, steps)
    body["balanced"] = not problems
    body["problems"] = problems
    if folder is not None:
        say(f"report: {write_report(folder, body)}")
    totals = [sum(s[k] for s in body["streams"].values()) for k in ("produced", "stored", "duplicated", "missing")]
    say("readings: {} produced, {} stored, {} doubled, {} missing".format(*totals))
    return "; ".join(problems)


def _stay_up(play: Any, say: Any) -> None:
    """The world goes on, slower; a person may look."""
    from smile_iot.demo.script import BATCH
    from telemetry.clock import ENVIRONMENT_KEY

    say("the script is over and every step happened; the site lives on (Ctrl-C ends it)")
    say(f"pages: http://127.0.0.1:{play.world.api_port}")
    for name, level in zip(play.passwords, ("operator", "manager", "super admin"), strict=True):
        say(f"log in as {name} ({level}) with {play.passwords[name]}")
    config, clock = play.world.folder / "server.toml", play.world.clock
    say("commands look at its data by its own clock, for example:")
    say(f"{ENVIRONMENT_KEY}='{clock.to_environment()}' .venv/bin/smile-iot explain {BATCH.id} --config {config}")
    while True:
        play.turn()
        time.sleep(0.5)
