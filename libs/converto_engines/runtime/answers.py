"""Reads the answer that one of our own programs prints inside the sandbox, and says a refusal as the right error.

It does not trust the answer further than its shape: what runs in there has read hostile files.
"""

import json
from typing import Any

from converto_core.errors import (
    BadOptions,
    ConversionError,
    CorruptSource,
    EncryptedSource,
    EngineCrashed,
    EngineError,
    EngineMissing,
    OutputInvalid,
    SourceTooLarge,
)
from converto_engines.runtime.process import Finished

_ERRORS: dict[str, type[ConversionError]] = {
    "corrupt": CorruptSource,
    "encrypted": EncryptedSource,
    "too_large": SourceTooLarge,
    "options": BadOptions,
    "output": OutputInvalid,
    "missing": EngineMissing,
    "engine": EngineError,
}
_SHOWN_CHARACTERS = 400
_LOGGED_CHARACTERS = 2000


def last_line(finished: Finished) -> dict[str, Any]:
    """The `done` part of the last line a program printed; raises the error it names, or `EngineCrashed` for none."""
    lines = finished.stdout.splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else None
    except ValueError:
        answer = None
    if finished.exit_code != 0:
        answer = None
    return done(answer, f"exit status {finished.exit_code}: {finished.stderr_tail}")


def done(answer: Any, log: str) -> dict[str, Any]:
    """The `done` part of an answer; raises the error it names, or `EngineCrashed` when it is no answer at all."""
    log = log[-_LOGGED_CHARACTERS:]
    if not isinstance(answer, dict):
        raise EngineCrashed(detail=log)
    if isinstance(result := answer.get("done"), dict):
        return result
    kind = _ERRORS.get(str(answer.get("refused")), EngineError)
    message = str(answer.get("message") or "")[:_SHOWN_CHARACTERS]
    raise kind(message or None, detail=f"{answer.get('detail', '')} {log}".strip())
