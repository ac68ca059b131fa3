"""Makes clean copies of STL files that readers refuse for their outer form alone."""

import shutil
from pathlib import Path

from converto_engines.converter import Job
from converto_engines.models import headers

_HEAD_BYTES, _BLOCK_BYTES = 64 * 1024, 1024**2


def clean_stl(job: Job) -> Path:
    """Return the source, or a copy without bytes after the last facet, or one of text in its usual letters.

    Tells the user about bytes left out. Blocks on the disk.
    """
    if extra := headers.bytes_after_last_facet(job.source):
        job.note(f"The file has {extra:,} more bytes after its last facet. They were left out.")
        return _shortened(job, extra)
    with job.source.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    is_usual = head.startswith(b"solid") and (b"\n" in head or b"\r" not in head) and b"facet" in head
    return job.source if is_usual or not headers.is_ascii_stl(head) else _in_usual_letters(job)


def _shortened(job: Job, extra_bytes: int) -> Path:
    copy = job.folder / "facets.stl"
    shutil.copyfile(job.source, copy)
    with copy.open("r+b") as file:
        file.truncate(copy.stat().st_size - extra_bytes)
    return copy


def _in_usual_letters(job: Job) -> Path:
    """Copy a text with line feeds and small letters; some programs end lines with CR, or write capitals."""
    copy = job.folder / "text.stl"
    with job.source.open("rb") as source, copy.open("wb") as target:
        block = source.read(_BLOCK_BYTES).lstrip()
        while block:
            target.write(block.lower().replace(b"\r", b"\n"))
            block = source.read(_BLOCK_BYTES)
    return copy
