"""The virtual site: every neighbour real, every step played by a script and checked (``smile-iot demo``)."""
