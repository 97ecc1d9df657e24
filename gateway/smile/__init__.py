"""The SMILE adapter: what of our record SMILE can hold is written there, each thing once.

``items`` and the check halves of ``discards`` and ``weights`` are pure; ``client`` speaks HTTP; ``outbox`` (smile.db)
remembers what was sent and what became of it; ``service`` joins them to the journal and the records.
The duties it keeps are numbered in ``facts/smile-core-api.md`` section 10 and named in its tests.
"""
