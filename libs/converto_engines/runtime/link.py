"""Makes a file available under another path without copying it where the file system allows."""

import os
import shutil
from pathlib import Path


def link_or_copy(source: Path, target: Path) -> None:
    """Create a hard link, or a copy when `target` is on another file system. Blocks on the disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
