"""Receive, check, journal, receipt; fill the time series from the journal; quarantine; ledger (``design.md``)."""
