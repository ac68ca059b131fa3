"""Answers a repeated request as it was answered the first time.

The SDKs repeat a request whose answer was lost, as happens on a busy machine. A second creation would then find the
name taken, although nothing is wrong.
"""

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

INVOCATION = "HTTP_AMZ_SDK_INVOCATION_ID"
"""The SDKs send the same value with each attempt of one call."""

MOST_ANSWERS = 500


class Answer(NamedTuple):
    """What a call got."""

    status: str
    headers: list[tuple[str, str]]
    body: list[bytes]


class Attempts:
    """An application that remembers its last answers; a failure of the server is tried again."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._lock, self._answers = threading.Lock(), OrderedDict[str, Answer]()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        invocation = environ.get(INVOCATION)
        if invocation is None:
            return self._application(environ, start_response)
        with self._lock:
            answer = self._answers.get(invocation)
        if answer is None:
            answer = self._asked(environ)
            self._keep(invocation, answer)
        else:
            print(f"answered again: {environ.get('HTTP_X_AMZ_TARGET', environ.get('PATH_INFO'))}", file=sys.stderr)
        start_response(answer.status, answer.headers)
        return answer.body

    def _asked(self, environ: dict[str, Any]) -> Answer:
        begun: list[tuple[str, list[tuple[str, str]]]] = []

        def begin(status: str, headers: list[tuple[str, str]], _error: Any = None) -> None:
            begun.append((status, headers))

        chunks = self._application(environ, begin)
        body = list(chunks)
        if close := getattr(chunks, "close", None):
            close()
        return Answer(*begun[-1], body)

    def _keep(self, invocation: str, answer: Answer) -> None:
        if answer.status.startswith("5"):
            return
        with self._lock:
            self._answers[invocation] = answer
            while len(self._answers) > MOST_ANSWERS:
                self._answers.popitem(last=False)
