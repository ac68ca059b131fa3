"""How our own programs speak from inside the sandbox: JSON lines on stdout, the last one the answer.

`{"percent": 12.5, "stage": "page 3 of 24"}` while they work, then `{"done": {…}}` or `{"refused": kind, "message":
text, "detail": log}`. Kinds are those of `answers.py`. It imports the standard library only.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Work = Callable[[dict[str, Any]], dict[str, Any]]
"""Does what a request asks for; raises `Refused` when the file or its options do not allow it."""
_LOGGED_CHARACTERS = 2000


class Refused(Exception):
    """Why a file is not converted: a kind that the worker translates, and a sentence for people."""

    def __init__(self, kind: str, message: str = "") -> None:
        """Take kind and message; an empty message leaves the words to the kind."""
        super().__init__(message)
        self.kind = kind


def serve_argument(work: Work) -> None:
    """Serve the one request given on the command line, then end the process."""
    _leave(_answer(work, json.loads(sys.argv[1])))


def serve_line(work: Work) -> None:
    """Wait for one request on stdin, serve it, then end the process; it may have been started ahead of need."""
    line = sys.stdin.readline()
    _leave(_answer(work, json.loads(line)) if line else None)


def tell(percent: float | None, stage: str) -> None:
    """Say how far the work is: percent of this program's share, or None where nobody can know."""
    _say({"percent": percent, "stage": stage})


def _answer(work: Work, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"done": work(request)}
    except Refused as refusal:
        cause = repr(refusal.__cause__) if refusal.__cause__ else ""
        return {"refused": refusal.kind, "message": str(refusal), "detail": cause[-_LOGGED_CHARACTERS:]}
    except MemoryError:
        return {"refused": "engine", "message": "The conversion needs more memory than is allowed for one file"}
    except Exception as error:  # noqa: BLE001 -- the border of this process; the worker gets it as an answer
        return {"refused": "engine", "message": "", "detail": repr(error)[-_LOGGED_CHARACTERS:]}


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _leave(answer: dict[str, Any] | None) -> None:
    if answer is not None:
        _say(answer)
    # Freed by the kernel: taking large libraries down in order can cost as much as a small file.
    os._exit(0)
