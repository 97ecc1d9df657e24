"""Pure rules over readings, exposures and verdicts of batches, and the shell that feeds them (see ``README.md``)."""
