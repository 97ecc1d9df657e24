"""Bytes on the wire: of the payload beside the entropy of the data, and of everything, counted from captured packets."""
