"""The server's door to other systems: records, journal, and the SMILE adapter (design.md, "The folders")."""
