"""What of the repository reaches the builder: the files that git would clone and `.dockerignore` lets through."""

import fnmatch
import subprocess
from pathlib import Path

from deploy.local.home import REPOSITORY


def files() -> list[str]:
    """Return the paths of all files that a COPY may name."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and is_sent(name) and (REPOSITORY / name).is_file()]


def is_sent(path: str) -> bool:
    """Return whether `.dockerignore` lets the path through; the last line that matches it or a parent decides."""
    sent = True
    above = [path, *map(str, Path(path).parents)][:-1]
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        if line and not line.startswith("#") and any(fnmatch.fnmatch(folder, pattern) for folder in above):
            sent = line.startswith("!")
    return sent
