"""The protocol of sandboxed programs: JSON lines on stdout, the last of which is the response.

Progress is `{"percent": 12.5, "stage": "page 3 of 24"}`; the response is `{"done": {…}}` or `{"refused": kind,
"message": text, "detail": log}`, where `responses.py` maps kinds to errors. Standard library only.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Work = Callable[[dict[str, Any]], dict[str, Any]]
"""Handles a request and returns the result; raises `Refused` when the file or its options do not allow it."""
_LOGGED_CHARACTERS = 2000


class Refused(Exception):
    """Raised when a file is not converted: a kind that the worker maps to an error, and a sentence for the user."""

    def __init__(self, kind: str, message: str = "") -> None:
        """An empty message selects the default text of the kind."""
        super().__init__(message)
        self.kind = kind


def reserve_stdout() -> None:
    """Reserve stdout for responses: whatever libraries print goes to stderr.

    Call it before the first line is written and before a library that prints is loaded.
    """
    reserved = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(reserved, "w", encoding="utf-8")


def serve_argument(work: Work) -> None:
    """Serve the request given on the command line, then exit."""
    _exit(_respond(work, json.loads(sys.argv[1])))


def serve_stdin(work: Work) -> None:
    """Wait for one request on stdin, serve it, then exit; for programs that are started ahead of need."""
    line = sys.stdin.readline()
    _exit(_respond(work, json.loads(line)) if line else None)


def report_progress(percent: float | None, stage: str) -> None:
    """Print progress in percent of this program's work; None when it is unknown."""
    _print({"percent": percent, "stage": stage})


def _respond(work: Work, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"done": work(request)}
    except Refused as refusal:
        cause = repr(refusal.__cause__) if refusal.__cause__ else ""
        return {"refused": refusal.kind, "message": str(refusal), "detail": cause[-_LOGGED_CHARACTERS:]}
    except MemoryError:
        return {"refused": "engine", "message": "The conversion needs more memory than is allowed for one file"}
    except Exception as error:  # noqa: BLE001 -- the process entry point; the worker gets the error as a response
        return {"refused": "engine", "message": "", "detail": repr(error)[-_LOGGED_CHARACTERS:]}


def _print(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _exit(response: dict[str, Any] | None) -> None:
    if response is not None:
        _print(response)
    # Leaves the clean-up to the kernel: an orderly shutdown of large libraries can cost as much as a small file.
    os._exit(0)
