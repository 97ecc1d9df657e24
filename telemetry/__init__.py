"""The language both sides speak: readings, quantities, contract and codecs, topics, clock, errors.

Pure and light: it imports the standard library only, does no I/O (``telemetry.clock`` alone reads the
machine's clocks) and is the one package that every other part may import (``docs/architecture.md``).
"""
