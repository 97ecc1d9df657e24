"""A disk that remembers in which order it was written and flushed: one file in a FUSE file system of our own.

A loop device on that file is a block device like any other; ext4 on it writes and flushes as it does on a card. Every
write and every flush arrives here, in order, and goes into a log; so does every *mark* that the program under test
writes into a second file ("append returned 17"). A power cut is a place in that log: what was flushed before it is on
the medium, of all later writes any part may be (``benchmarks.powercut.replay``).

Spoken is the kernel's own protocol on /dev/fuse (include/uapi/linux/fuse.h), version 7.31: a dozen requests are
enough for one directory with two files. Root is needed, for mount(2) and for the loop device.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import stat
import struct
from pathlib import Path

ROOT, DISK, MARK = 1, 2, 3
NAMES = {b"disk": DISK, b"mark": MARK}
WRITE, FLUSH, TOLD = b"W", b"F", b"M"
HEAD = struct.Struct("<cQI")  # kind, offset, length; then the bytes
_IN = struct.Struct("<IIQQIIIHH")
_MAX_WRITE = 128 * 1024
_DIRECT_IO = 1


class Disk:
    """Answers the kernel's requests until the file system is unmounted."""

    def __init__(self, image: Path, log: Path) -> None:
        self._bytes = bytearray(image.read_bytes())
        self._log = log.open("wb", buffering=0)

    def serve(self, fuse: int) -> None:
        while True:
            try:
                request = os.read(fuse, _MAX_WRITE + 8192)
            except OSError as error:
                if error.errno == errno.ENODEV:  # unmounted
                    return
                if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                    continue
                raise
            _, opcode, unique, node, *_ = _IN.unpack_from(request)
            answer = self._answer(opcode, node, request[_IN.size :])
            if answer is not None:
                code, body = (answer, b"") if isinstance(answer, int) else (0, answer)
                os.write(fuse, struct.pack("<IiQ", 16 + len(body), -code, unique) + body)

    def _answer(self, opcode: int, node: int, body: bytes) -> bytes | int | None:
        """The body of an answer, an errno, or None where none is wanted."""
        match opcode:
            case 26:  # INIT: no cache for writing, so what the kernel wrote is here when its write returns
                return struct.pack("<IIIIHHIIHHI28x", 7, 31, 0, 1 << 5, 16, 12, _MAX_WRITE, 1, 0, 0, 0)
            case 1:  # LOOKUP
                found = NAMES.get(body.rstrip(b"\0"))
                return (
                    errno.ENOENT
                    if found is None
                    else struct.pack("<QQQQII", found, 0, 1, 1, 0, 0) + self._attr(found)
                )
            case 2 | 42 | 36:  # FORGET, BATCH_FORGET, INTERRUPT
                return None
            case 3 | 4:  # GETATTR, SETATTR
                return struct.pack("<QII", 1, 0, 0) + self._attr(node)
            case 14 | 27:  # OPEN, OPENDIR
                return struct.pack("<QII", 0, _DIRECT_IO if node == MARK else 0, 0)
            case 15:  # READ
                _, offset, size = struct.unpack_from("<QQI", body)
                return bytes(self._bytes[offset : offset + size]) if node == DISK else b""
            case 16:  # WRITE
                _, offset, size = struct.unpack_from("<QQI", body)
                self._write(node, offset, body[40 : 40 + size])
                return struct.pack("<II", size, 0)
            case 20:  # FSYNC
                if node == DISK:
                    self._put(FLUSH, 0, b"")
                return b""
            case 17:  # STATFS
                return struct.pack("<QQQQQIIII24x", 1 << 20, 1 << 19, 1 << 19, 16, 8, 4096, 255, 4096, 0)
            case 18 | 25 | 29 | 34 | 38:  # RELEASE, FLUSH (of a handle, not of a disk), RELEASEDIR, ACCESS, DESTROY
                return b""
            case 28:  # READDIR
                return b""
            case 43:  # FALLOCATE: no holes
                return errno.EOPNOTSUPP
            case _:
                return errno.ENOSYS

    def _write(self, node: int, offset: int, data: bytes) -> None:
        if node == DISK:
            self._bytes[offset : offset + len(data)] = data
            self._put(WRITE, offset, data)
        else:
            self._put(TOLD, 0, data)

    def _put(self, kind: bytes, offset: int, data: bytes) -> None:
        self._log.write(HEAD.pack(kind, offset, len(data)) + data)

    def _attr(self, node: int) -> bytes:
        size = len(self._bytes) if node == DISK else 0
        mode = stat.S_IFDIR | 0o755 if node == ROOT else stat.S_IFREG | 0o600
        return struct.pack(
            "<QQQQQQIIIIIIIIII", node, size, (size + 511) // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0
        )


def mount(place: Path) -> int:
    """Mount the file system; the descriptor that the kernel speaks to."""
    fuse = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0"
    if libc.mount(b"powercut", os.fsencode(place), b"fuse.powercut", 0, options.encode()):
        number = ctypes.get_errno()
        os.close(fuse)
        raise OSError(number, f"mount: {os.strerror(number)}")
    return fuse


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("image", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("place", type=Path)
    args = parser.parse_args()
    disk = Disk(args.image, args.log)
    fuse = mount(args.place)
    print("ready", flush=True)
    disk.serve(fuse)


if __name__ == "__main__":
    main()
