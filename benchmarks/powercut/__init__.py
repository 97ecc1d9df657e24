"""Power cuts below the file system: written-but-unsynced data are really thrown away. See ``__main__``."""
