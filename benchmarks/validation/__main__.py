"""``make validate``: compare, write ``docs/validation.md``, and fail where an answer leaves its tolerance."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from pathlib import Path

from benchmarks.validation.answers import Answer, failures
from benchmarks.validation.faults import Played, jobs, played
from benchmarks.validation.files import file_answers
from benchmarks.validation.page import fails, page
from benchmarks.validation.published import mkt_answers, vvm_answers
from benchmarks.validation.smile import smile_answers

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data" / "fridge-tag"
PAGE = ROOT / "docs" / "validation.md"


def groups(folders: list[Path]) -> list[tuple[str, list[Answer]]]:
    """All comparisons but the labelled runs."""
    files = [a for folder in folders for a in file_answers(folder)]
    return [
        ("Loggers' own exports", files),
        ("VVM: Nexleaf's and the standard's numbers", vvm_answers()),
        ("MKT and the USP-type rule", mkt_answers()),
        ("SMILE's own grace rule", smile_answers()),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.validation", description=__doc__)
    parser.add_argument(
        "--files", type=Path, action="append", default=[], metavar="FOLDER", help="more exports (*.txt)"
    )
    parser.add_argument("--each", type=int, default=12, help="labelled runs of each kind (0: none)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    args = parser.parse_args()
    if not REAL.is_dir():
        print(f"not run: real files absent ({REAL})", file=sys.stderr)
        if not args.files:
            return 2
    made = groups([p for p in (REAL, *args.files) if p.is_dir()])
    runs: list[Played] = []
    if args.each:
        with multiprocessing.Pool(args.workers) as pool:
            runs = pool.map(played, jobs(args.each), chunksize=1)
    text = page(made, runs)
    print(text)
    if args.write:
        PAGE.write_text(text, encoding="utf-8")
    bad = [f"{a.subject}: {a.what}: theirs {a.theirs}, ours {a.ours}" for _, group in made for a in failures(group)]
    bad += fails(runs)
    for line in bad:
        print(f"DIFFERS {line}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
