"""Makes untrusted file names safe for the local disk: no paths, no control characters, nothing overwritten."""

import os
import re
import unicodedata
from pathlib import Path

LONGEST_NAME_BYTES = 200
"""Most file systems allow 255 bytes; the rest is for a number and the suffix of a partial download."""
_RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def clean_name(untrusted_name: str, *, otherwise: str = "output") -> str:
    """A safe file name made from any text; `otherwise` when no usable character is left."""
    last = re.split(r"[/\\]", untrusted_name)[-1]
    visible = "".join(character for character in last if unicodedata.category(character)[0] != "C")
    name = re.sub(r'[<>:"|?*]', "_", visible).strip().strip(".").strip()
    if not name:
        return otherwise
    return _shortened(f"_{name}" if _RESERVED.match(name) else name)


def _shortened(name: str) -> str:
    if len(name.encode()) <= LONGEST_NAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    ending = dot + extension if stem and len(extension.encode()) <= 16 else ""
    kept = (stem if ending else name).encode()[: LONGEST_NAME_BYTES - len(ending.encode())]
    return kept.decode(errors="ignore") + ending


def rename_to(part: Path, wanted: Path, *, overwrite: bool) -> Path:
    """Rename a complete download and return its path: `deck.pdf`, or `deck (2).pdf` when that name is taken."""
    if overwrite:
        part.replace(wanted)
        return wanted
    number = 1
    while True:
        target = wanted if number == 1 else wanted.with_name(f"{wanted.stem} ({number}){wanted.suffix}")
        try:
            # Reserving the name and moving the file are two steps; O_EXCL lets only one process win the first.
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            number += 1
            continue
        part.replace(target)
        return target
