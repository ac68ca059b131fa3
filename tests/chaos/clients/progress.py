"""Checks that the progress of one run of a conversion, as told to its client, never goes back."""

from typing import Any

from tests.chaos.clients.connection import Connection


class Progress:
    """The largest percentage that a client was told for each run of its conversion."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._told: dict[tuple[int, int, int | None], float] = {}

    def check(self, body: dict[str, Any]) -> None:
        """Compare with what was told before; a new attempt begins at zero again."""
        if body["status"] != "processing":
            return
        run = body["attempt"], body["attempts_lost"], body["started_at"]
        before, now = self._told.get(run, 0.0), float(body["percent"])
        if now < before:
            self._connection.note("false answer", f"progress went back from {before:g} % to {now:g} %")
        self._told[run] = max(before, now)
