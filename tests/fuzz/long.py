"""``make fuzz``: the targets for as long as you like, from a seed that is printed; findings go to ``found/`` and stay.

With atheris installed (``.venv/bin/pip install atheris``; optional, never a dependency) the parsers are watched while they
run and inputs that reach new code are kept and changed further. Without it the same changes as in the tests are made at
random, and inputs that were accepted become seeds.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parents[1]))
LONGEST_S = 5.0
MOST_SEEDS = 2000


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--seconds", type=float, default=60, help="CPU seconds for each target")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--target", action="append", help="only these (default: all)")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        return watched(args.inside, args.seconds)
    from targets import TARGETS

    by_atheris = importlib.util.find_spec("atheris") is not None
    print(f"seed {args.seed}; {'atheris watches the code' if by_atheris else 'no atheris: changes at random'}")
    findings = 0
    for target in TARGETS:
        if args.target and target.name not in args.target:
            continue
        findings += at_random(target, args.seconds / 2 if by_atheris else args.seconds, args.seed)
        if by_atheris:
            command = [sys.executable, __file__, "--inside", target.name, "--seconds", str(args.seconds / 2)]
            findings += subprocess.run(command, check=False).returncode != 0
    print(f"{findings} findings")
    return 1 if findings else 0


def keep(name: str, data: bytes) -> Path:
    path = HERE / "found" / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}.bin"
    path.write_bytes(data)
    return path


def at_random(target: object, seconds: float, seed: int) -> int:
    """One target; how many findings (it stops at the first ten)."""
    from targets import Target, changed

    assert isinstance(target, Target)
    rng = random.Random(f"{seed} {target.name}")
    seeds, runs, accepted, findings = list(target.seeds), 0, 0, 0
    start, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while time.process_time() - start < seconds and findings < 10:
        changes = [(rng.randrange(8), rng.randrange(1 << 20), rng.randrange(256)) for _ in range(rng.randrange(1, 5))]
        data = changed(rng.choice(seeds), changes)
        before = time.process_time()
        runs += 1
        try:
            if target.run(data):
                accepted += 1
                if len(data) < 20_000:
                    seeds = [*seeds, data] if len(seeds) < MOST_SEEDS else seeds
            if time.process_time() - before > LONGEST_S:
                raise AssertionError(f"took {time.process_time() - before:.1f} s")
        except Exception as error:
            findings += 1
            print(f"{target.name}: {error!r} in {keep(target.name, data)}"[:400])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    print(f"{target.name:14} {runs:9} inputs, {accepted:8} accepted, {findings} findings, {grown} KiB more memory")
    return findings


def watched(name: str, seconds: float) -> int:
    """One target under atheris, in a process of its own (libFuzzer ends the process)."""
    import atheris

    with atheris.instrument_imports(include=["telemetry", "edge", "ingest", "targets"]):
        from targets import TARGETS
    target = next(t for t in TARGETS if t.name == name)
    corpus = HERE.parents[1] / "var" / "fuzz" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)

    def one(data: bytes) -> None:
        target.run(data)

    options = [f"-max_total_time={max(1, round(seconds))}", "-timeout=20", "-rss_limit_mb=1024", "-verbosity=0"]
    atheris.Setup(
        [sys.argv[0], *options, f"-artifact_prefix={HERE / 'found' / name}-", str(corpus)],
        one,
        internal_libfuzzer=True,
    )
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
