# Two commands on a fresh Debian 12 machine: make demo, make test. Each does all its own set-up.
SHELL := /bin/bash
export PATH := $(if $(PATH),$(PATH),/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
STORE ?= sqlite
export STORE
PYTHON := .venv/bin/python

.PHONY: help demo test test-ble-real check bench bench-alerts kill-alerts bench-flash powercut chaos bench-store bench-rules bench-wire fuzz bench-drain simulate properties validate bench-forecast lock clean
help:
	@echo "make demo            the whole line on a virtual site, then pages to look at (STORE=influx: InfluxDB)"
	@echo "make test            all tests, after style, types and import rules"
	@echo "make test-ble-real   our agent with the real bluetoothd and kernel in QEMU, 4 minutes (docs/ble-real.md)"
	@echo "make bench           how fast, lean and exact the data path is, in one table (benchmarks/bench.md)"
	@echo "make kill-alerts     alerts killed between any two durable steps, then while entries arrive (benchmarks/alerts_kills.md), hours"
	@echo "make bench-alerts    start and memory of alerts against 1, 180 and 720 days of history (benchmarks/alerts.md)"
	@echo "make bench-flash     bytes that a reading costs the edge's flash (benchmarks/flash.md); root for the block device's own count"
	@echo "make chaos           kill campaign: at least 500 faults on the real line, 30-40 minutes (docs/proof.md)"
	@echo "make powercut        hundreds of power cuts below the file system (benchmarks/powercut.md); root, /dev/fuse"
	@echo "make bench-drain     how fast a month's backlog leaves the edge (benchmarks/drain.md)"
	@echo "make bench-store     the embedded store: sealed blocks against a plain table, 10 minutes (benchmarks/store.md)"
	@echo "make bench-rules     what judging costs: reading by reading, and whole series in columns, 5 minutes (benchmarks/rules.md)"
	@echo "make fuzz            every parser that meets the outside, a minute each (FUZZ_ARGS='--seconds 600')"
	@echo "make properties      the rules' property suites with 20,000 examples and more, an hour (benchmarks/properties.md)"
	@echo "make bench-wire      bytes a reading beside the data's entropy, and megabytes a month by packet capture (root)"
	@echo "make validate        our answers beside independent ones: loggers, Nexleaf, USP, SMILE, labelled faults (docs/validation.md)"
	@echo "make bench-forecast  the forecast's error on labelled runs it was not tuned on (benchmarks/forecast.md)"
	@echo "make simulate        edge and ingest against simulated time, disk and network (SEEDS=2000, or SEED=7)"
	@echo "make check           style, types and import rules only"
	@echo "make lock            make the lock files anew"

demo:
	@scripts/setup demo
	@$(PYTHON) -m smile_iot demo --store $(STORE) $(DEMO_ARGS)

test:
	@scripts/setup test
	@scripts/check
	@$(PYTHON) -m pytest -q -n 2 --dist loadfile $(TEST_ARGS)

test-ble-real:
	@scripts/test-ble-real $(TEST_ARGS)

bench:
	@scripts/setup bench
	@$(PYTHON) -m benchmarks.bench $(BENCH_ARGS)

powercut:
	@scripts/setup test
	@$(PYTHON) -m benchmarks.powercut $(or $(POWERCUT_ARGS),--runs 4 --cuts 60 --steps 250 --write)

kill-alerts:
	@scripts/setup test
	@mkdir -p build && ALERTS_EVERY_PAIR=build/kill-pairs.jsonl $(PYTHON) -m pytest -q -n 2 --dist load tests/alerts/test_kill_points.py
	@$(PYTHON) -m benchmarks.alerts_kills $(or $(KILL_ARGS),--kills 32 --jobs 2 --sabotage all --pairs build/kill-pairs.jsonl --write)

bench-alerts:
	@scripts/setup bench
	@$(PYTHON) -m benchmarks.alerts_start $(BENCH_ARGS)

bench-drain:
	@scripts/setup test
	@$(PYTHON) -m benchmarks.drain --write

bench-flash:
	@scripts/setup test
	@$(PYTHON) -m benchmarks.flash --write

validate:
	@scripts/setup test
	@$(PYTHON) -m benchmarks.validation --write $(VALIDATE_ARGS)

bench-forecast:
	@scripts/setup test
	@$(PYTHON) -m benchmarks.forecast --write $(FORECAST_ARGS)

chaos:
	@scripts/setup test
	@$(PYTHON) -m benchmarks.chaos $(or $(CHAOS_ARGS),--runs 10 --seconds 150 --gap 1.5 --store both --table)

bench-store:
	@scripts/setup bench
	@$(PYTHON) -m benchmarks.store $(BENCH_ARGS)

properties:
	@scripts/setup test
	@$(PYTHON) -m benchmarks.properties --examples $(or $(EXAMPLES),20000) --write

bench-rules:
	@scripts/setup bench
	@$(PYTHON) -m benchmarks.rules $(RULES_ARGS)

fuzz:
	@scripts/setup test
	@$(PYTHON) tests/fuzz/long.py $(FUZZ_ARGS)

bench-wire:
	@scripts/setup test
	@$(PYTHON) -m benchmarks.wire $(or $(WIRE_ARGS),--table)

simulate:
	@scripts/setup test
	@$(PYTHON) -m benchmarks.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),2000) --first $(or $(FIRST),1) --workers $(or $(WORKERS),2))

check:
	@scripts/setup test
	@scripts/check

lock:
	@scripts/lock

clean:
	rm -rf .venv build var *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
