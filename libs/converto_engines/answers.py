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
from converto_engines.process import Finished

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


def last_line(finished: Finished) -> dict[str, Any]:
    """The `done` part of the last line a program printed; raises the error it names, or `EngineCrashed` for none."""
    lines = finished.stdout.splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else None
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or finished.exit_code != 0:
        raise EngineCrashed(detail=f"exit status {finished.exit_code}: {finished.stderr_tail[-2000:]}")
    if isinstance(done := answer.get("done"), dict):
        return done
    raise refusal(answer, finished.stderr_tail)


def refusal(answer: dict[str, Any], stderr_tail: str = "") -> ConversionError:
    """The error that a refusal names."""
    kind = _ERRORS.get(str(answer.get("refused")), EngineError)
    message = str(answer.get("message") or "")[:_SHOWN_CHARACTERS]
    return kind(message or None, detail=f"{answer.get('detail', '')} {stderr_tail[-2000:]}".strip())
