"""Deterministic simulation: the edge's and ingest's decisions against simulated time, disk, network and broker.

Everything that decides is the real code (outbox contract, group commit, anchors, uplink core; check, intake, ledger,
answers, gaps, filler, undated, the SQLite store); everything that happens to it is simulated from one integer seed: the
same seed gives the same schedule, message by message. ``docs/proof.md`` says how to run and to read it.
"""
