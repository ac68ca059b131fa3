"""Reads the response of a sandboxed program and translates a refusal into the matching error.

The response is untrusted beyond its shape: the program that wrote it has read hostile files.
"""

import json
from typing import Any

from converto_core.errors import (
    BadOptions,
    BadSource,
    ConversionError,
    CorruptSource,
    EncryptedSource,
    EngineCrashed,
    EngineError,
    EngineMissing,
    OutputInvalid,
    SourceTooLarge,
    WrongPassword,
)
from converto_engines.runtime.process import ProcessResult
from converto_engines.runtime.sandboxed import launch

_ERRORS: dict[str, type[ConversionError]] = {
    "corrupt": CorruptSource,
    "encrypted": EncryptedSource,
    "wrong_password": WrongPassword,
    "too_large": SourceTooLarge,
    "unsupported": BadSource,
    "options": BadOptions,
    "output": OutputInvalid,
    "missing": EngineMissing,
    "engine": EngineError,
}
_CODES = {"unsupported": "source_unsupported"}
_RESPONDED = frozenset({0, launch.EXIT_NOT_INSTALLED})
_SHOWN_CHARACTERS = 400
_LOGGED_CHARACTERS = 2000


def result_of_run(run: ProcessResult) -> dict[str, Any]:
    """The result in the last line that a program printed; raises as `result_of`."""
    lines = run.stdout.splitlines()
    try:
        response = json.loads(lines[-1]) if lines and run.exit_code in _RESPONDED else None
    except ValueError:
        response = None
    return result_of(response, f"exit status {run.exit_code}: {run.stderr_tail}")


def result_of(response: Any, log: str) -> dict[str, Any]:
    """The result in a response; raises the error that it names, or `EngineCrashed` when it is not a response."""
    log = log[-_LOGGED_CHARACTERS:]
    if not isinstance(response, dict):
        raise EngineCrashed(detail=log)
    if isinstance(result := response.get("done"), dict):
        return result
    kind = str(response.get("refused"))
    error = _ERRORS.get(kind, EngineError)
    message = str(response.get("message") or "")[:_SHOWN_CHARACTERS]
    raise error(message or None, code=_CODES.get(kind), detail=f"{response.get('detail', '')} {log}".strip())
