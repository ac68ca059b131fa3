"""Starts a poppler program; the caller already runs in the sandbox. Standard library only."""

import re
import subprocess

from converto_engines.runtime.sandboxed import process_pool
from converto_engines.runtime.sandboxed.protocol import Refused

_LOG_BYTES = 4000


_INCOMPLETE = re.compile(rb"Missing language pack|Unknown font tag|No font in show|Couldn't find .{0,200}CMap")
"""What it says when it leaves out text, because it lacks the character map or cannot read the font."""


def run(*arguments: str) -> bool:
    """Run it to its end; return whether it left out text. Refuses the file when it fails.

    A signal that kills it kills this process too.
    """
    run = subprocess.run(arguments, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    if run.returncode < 0:
        process_pool.exit_by_signal(-run.returncode)
    if run.returncode != 0:
        log = run.stderr[-_LOG_BYTES:].decode(errors="replace")
        raise Refused("corrupt", "") from RuntimeError(f"{arguments[0]}: {run.returncode}: {log}")
    return _INCOMPLETE.search(run.stderr) is not None


def version_of(program: str) -> str:
    """Return a version such as "22.12.0"; refuses when the program is missing."""
    try:
        run = subprocess.run([program, "-v"], check=False, stdin=subprocess.DEVNULL, capture_output=True)
    except FileNotFoundError as error:
        raise Refused("missing", f"The program {program} is not installed on this worker") from error
    if run.returncode < 0:
        process_pool.exit_by_signal(-run.returncode)
    found = re.search(rb"version (\d+(?:\.\d+)+)", run.stderr)
    return found[1].decode() if found else "unknown"
