"""Small disks in memory, which a fault can fill: only root may mount them."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mounted(folder: Path, size_bytes: int, *, is_kept: Callable[[], bool] = lambda: False) -> Iterator[Path | None]:
    """Mount a disk of this size at the folder; None where this user may not. What is kept becomes a plain folder."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _mount(folder, size_bytes):
        yield None
        return
    try:
        yield folder
    finally:
        copy = folder.with_name(f"{folder.name}-kept")
        if is_kept():
            shutil.copytree(folder, copy)
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
        if copy.exists():
            folder.rmdir()
            copy.rename(folder)


def _mount(folder: Path, size_bytes: int) -> bool:
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0700", "chaos", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
