"""What is not here, simulated from data sheets: loggers, probes and scales with real bytes on real interfaces.

It imports nothing of ours: its encoders are written apart from the edge's decoders, so that a shared mistake
cannot hide.
"""
