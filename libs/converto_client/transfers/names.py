"""File names from somebody else, made fit for this disk: no paths, no control characters, nothing overwritten."""

import os
import re
import unicodedata
from pathlib import Path

LONGEST_NAME_BYTES = 200
"""Most file systems stop at 255 bytes; the rest is for a number and for the ending of a file in progress."""
_RESERVED = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def clean_name(untrusted_name: str, *, otherwise: str = "output") -> str:
    """A plain file name out of any text; `otherwise` when nothing useful is left of it."""
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


def place(part: Path, wanted: Path, *, overwrite: bool) -> Path:
    """Give a finished file its name and return it: `deck.pdf`, or `deck (2).pdf` when that name is taken."""
    if overwrite:
        part.replace(wanted)
        return wanted
    number = 1
    while True:
        target = wanted if number == 1 else wanted.with_name(f"{wanted.stem} ({number}){wanted.suffix}")
        try:
            # Taking the name and moving the file are two steps; the first is the one that only one of us can win.
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            number += 1
            continue
        part.replace(target)
        return target
