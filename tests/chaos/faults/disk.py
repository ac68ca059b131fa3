"""Faults of the disk that a worker converts on."""

import asyncio
import errno
from io import FileIO

from tests.chaos.faults.fault import Fault
from tests.chaos.site import Site

FULL_S = 3.0
PIECE_BYTES = 256 * 1024


async def fill(site: Site) -> None:
    """Not a byte is left; the worker's work folder is on this disk."""
    if site.small_disk is None:
        return
    hog = site.small_disk / "hog"
    try:
        with hog.open("wb", buffering=0) as file:
            _fill(file)
        await asyncio.sleep(FULL_S)
    finally:
        hog.unlink(missing_ok=True)


def _fill(file: FileIO) -> None:
    piece = bytes(PIECE_BYTES)
    try:
        while True:
            file.write(piece)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


FAULTS = (Fault("worker: disk full", fill),)
