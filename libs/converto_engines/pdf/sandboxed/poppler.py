"""Starts a program of poppler on a PDF inside the sandbox, which its caller has been put into already.

It imports the standard library only.
"""

import re
import subprocess

from converto_engines.runtime.sandboxed import process_pool
from converto_engines.runtime.sandboxed.protocol import Refused

_LOG_BYTES = 4000


def run(*arguments: str) -> None:
    """Run it to its end. A limit that ends it ends this process in the same way; other failures blame the file."""
    ended = subprocess.run(arguments, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    if ended.returncode < 0:
        process_pool.exit_by_signal(-ended.returncode)
    if ended.returncode != 0:
        log = ended.stderr[-_LOG_BYTES:].decode(errors="replace")
        raise Refused("corrupt", "") from RuntimeError(f"{arguments[0]}: {ended.returncode}: {log}")


def version_of(program: str) -> str:
    """Such as "22.12.0"; refuses when the program is missing."""
    try:
        told = subprocess.run([program, "-v"], check=False, stdin=subprocess.DEVNULL, capture_output=True).stderr
    except FileNotFoundError as error:
        raise Refused("missing", f"The program {program} is not installed on this worker") from error
    found = re.search(rb"version (\d+(?:\.\d+)+)", told)
    return found[1].decode() if found else "unknown"
