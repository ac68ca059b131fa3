"""Short ways to write histories for the tests."""

import math
from typing import Any

from converto_core.conversion.record import Status
from tests.chaos.history.call import Asked, Ended, Line, Outcome, Streamed, Told
from tests.chaos.history.checker import violations_of
from tests.chaos.history.history import History
from tests.chaos.history.violation import Kind

ONE, OTHER, FILE = (f"0190a000-0000-7000-8000-00000000000{digit}" for digit in "123")
FOREVER = math.inf


class Made:
    """A history in the making; each method adds calls with start and end in seconds."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._count = 0

    def call(self, start_s: float, end_s: float, what: str, **fields: Any) -> int:
        """Add a call such as `GET /conversions/{id}`; `got` is the hash of an answer, other fields belong to
        the call as sent or to its end."""
        self._count += 1
        method, path = what.split(" ", 1)
        asked = {name: fields.pop(name) for name in list(fields) if name in ASKED}
        self.lines.append(Asked(number=self._count, at_s=start_s, method=method, path=path, **{**ANYONE, **asked}))
        ended = {"outcome": Outcome.ANSWERED, "status": 200, "sha256": fields.pop("got", None), **fields}
        if end_s < FOREVER:
            self.lines.append(Ended(number=self._count, at_s=end_s, **ended))
        return self._count

    def get(self, start_s: float, end_s: float, status: str, **told: Any) -> "Made":
        """Add a read of the conversion ONE."""
        self.call(start_s, end_s, "GET /conversions/{id}", id=ONE, told=(state(status, **told),))
        return self

    def post(self, start_s: float, end_s: float, action: str, **fields: Any) -> "Made":
        """Add a retry or a cancellation of ONE."""
        self.call(start_s, end_s, f"POST /conversions/{{id}}/{action}", id=ONE, **fields)
        return self

    def delete(self, start_s: float, end_s: float, **fields: Any) -> "Made":
        """Add a DELETE of ONE, by default one that was done."""
        self.call(start_s, end_s, "DELETE /conversions/{id}", id=ONE, **{"status": 204, **fields})
        return self

    def missing(self, start_s: float, end_s: float) -> "Made":
        """Add a read of ONE that is answered 404."""
        self.call(start_s, end_s, "GET /conversions/{id}", id=ONE, status=404)
        return self

    def listed(self, start_s: float, end_s: float, *told: Told, **fields: Any) -> "Made":
        """Add a list."""
        self.call(start_s, end_s, "GET /conversions", told=told, **fields)
        return self

    def streamed(self, start_s: float, *events: tuple[float, Told]) -> "Made":
        """Add a stream that is never closed, and its events."""
        number = self.call(start_s, FOREVER, "GET /conversions/{id}/events", id=ONE)
        self.lines += [Streamed(number=number, at_s=at_s, told=told) for at_s, told in events]
        return self

    @property
    def kinds(self) -> list[Kind]:
        """What the checker finds."""
        return [violation.kind for violation in violations_of(History(self.lines))]


ASKED = frozenset(Asked.__struct_fields__) - {"number", "at_s", "method", "path"}
ANYONE = {"client": "anyone", "caller": "key"}


def state(status: str, conversion_id: str = ONE, **told: Any) -> Told:
    """Return a conversion's state."""
    return Told(id=conversion_id, status=Status(status), **told)
