"""Simulated runs: clients whose calls overlap and break, against a store that makes the real changes one at a time.

Each call has its effect at one moment between its start and its end, or later when its outcome is unknown. So the
history of a run is legal by construction, unless the reads come from a replica that lags behind.
"""

import random
from collections.abc import Callable
from typing import Any

import msgspec

from converto_core.conversion import processing, transitions
from converto_core.conversion.change import Change
from converto_core.conversion.record import Conversion, Output, Status
from converto_core.formats import Family
from file_service.http.views import conversion_body
from tests.chaos.history.call import Asked, Ended, Line, Outcome, Told, told_of

RUN_S, LONGEST_CALL_S, LATEST_EFFECT_S = 60.0, 4.0, 20.0  # of the whole run, of a call, after an unknown outcome
CALLS_EACH, PAGE = 25, 3
ACTIONS = {"get": 8, "list": 4, "retry": 3, "cancel": 1, "delete": 1}
UNKNOWN_SHARE = 0.15


class Simulation:
    """One run; `lag_s` is how far the replica that serves the reads is behind."""

    def __init__(self, seed: int, *, conversions: int = 4, clients: int = 4, lag_s: float = 0.0) -> None:
        self._chance, self._lag_s = random.Random(seed), lag_s
        self._records: dict[str, Conversion] = {}
        self._created: dict[str, Told] = {}
        self._log: list[tuple[float, dict[str, Conversion]]] = [(float("-inf"), {})]
        self._events: list[tuple[float, Callable[[], None]]] = []
        self.lines: list[Line] = []
        self._count, self._now_s = 0, 0.0
        self._ids = [f"0190a000-0000-7000-8000-{number:012d}" for number in range(conversions)]
        for conversion_id in self._ids:
            self._plan_create(conversion_id)
            for at_s in sorted(self._chance.uniform(1, RUN_S) for _ in range(30)):
                self._events.append((at_s, lambda one=conversion_id: self._step(one)))  # type: ignore[misc]
        for client in range(clients):
            self._plan_client(f"client-{client}")

    def run(self) -> list[Line]:
        """Return the history."""
        for at_s, effect in sorted(self._events, key=lambda event: event[0]):
            self._now_s = at_s
            effect()
            if self._lag_s:
                self._log.append((at_s, dict(self._records)))
        return self.lines

    def _plan_create(self, conversion_id: str) -> None:
        for start_s in (0.0, 1.0, 2.0):  # the same request again and again, as after broken connections
            self._plan_call(
                f"creator-{conversion_id}", start_s, ("POST", "/conversions", None), lambda: self._create(conversion_id)
            )

    def _plan_client(self, client: str) -> None:
        start_s = 3.0
        for _ in range(CALLS_EACH):
            start_s += self._chance.uniform(0, 2)
            action = self._chance.choices(list(ACTIONS), list(ACTIONS.values()))[0]
            conversion_id = self._chance.choice(self._ids)
            path = "" if action in ("get", "delete") else f"/{action}"
            what = (action.upper() if not path else "POST", f"/conversions/{{id}}{path}", conversion_id)
            what = ("GET", "/conversions", None) if action == "list" else what
            start_s = self._plan_call(client, start_s, what, lambda a=action, c=conversion_id: self._do(a, c))

    def _plan_call(
        self, client: str, start_s: float, what: tuple[str, str, str | None], effect: Callable[[], dict[str, Any]]
    ) -> float:
        """Plan one call and return when it ends."""
        self._count += 1
        number, end_s = self._count, start_s + self._chance.uniform(0.01, LONGEST_CALL_S)
        is_unknown = self._chance.random() < UNKNOWN_SHARE
        effect_s = self._chance.uniform(start_s, end_s + (LATEST_EFFECT_S if is_unknown else 0))
        method, path, conversion_id = what
        self.lines.append(
            Asked(
                number=number,
                at_s=start_s,
                client=client,
                caller="key",
                method=method,
                path=path,
                id=conversion_id,
                key=client if client.startswith("creator") else None,
            )
        )

        def happen() -> None:
            answer = effect()
            if is_unknown:
                answer = {"outcome": Outcome.UNKNOWN}
            self.lines.append(Ended(number=number, at_s=end_s, **{"outcome": Outcome.ANSWERED, **answer}))

        self._events.append((effect_s, happen))
        return end_s

    def _create(self, conversion_id: str) -> dict[str, Any]:
        if conversion_id in self._created:
            return {"status": 201, "is_replayed": True, "told": (self._created[conversion_id],)}
        record = Conversion(
            id=conversion_id, owner="o", file_id="f", target_format="pdf", created_at=0, updated_at=0, client_id="a"
        )
        self._records[conversion_id] = record
        self._created[conversion_id] = _told(record)
        return {"status": 201, "told": (_told(record),)}

    def _do(self, action: str, conversion_id: str) -> dict[str, Any]:
        if action == "list":
            newest = sorted(self._seen.items(), reverse=True)[:PAGE]
            next_id = newest[-1][0] if len(newest) == PAGE else None
            return {"status": 200, "told": tuple(_told(one) for _, one in newest), "next": next_id}
        if action == "get":
            found = self._seen.get(conversion_id)
            return {"status": 200, "told": (_told(found),)} if found else {"status": 404}
        record = self._records.get(conversion_id)
        if record is None:
            return {"status": 404}
        return getattr(self, f"_{action}")(record)  # type: ignore[no-any-return]

    @property
    def _seen(self) -> dict[str, Conversion]:
        """Return the records as a read finds them now."""
        if not self._lag_s:
            return self._records
        return next(seen for at_s, seen in reversed(self._log) if at_s <= self._now_s - self._lag_s)

    def _retry(self, record: Conversion) -> dict[str, Any]:
        if record.status not in (Status.FAILED, Status.CANCELLED, Status.EXPIRED):
            return {"status": 409}
        after = self._apply(transitions.retry(record, source_format="txt", plan=(), family=Family.OFFICE, now_ms=0))
        return {"status": 202, "told": (_told(after),)}

    def _cancel(self, record: Conversion) -> dict[str, Any]:
        if record.is_terminal:
            return {"status": 409}
        is_running = record.status is Status.PROCESSING
        change = transitions.request_cancel if is_running else transitions.cancel_waiting
        after = self._apply(change(record.id, owner="o", now_ms=0))
        return {"status": 202 if is_running else 200, "told": (_told(after),)}

    def _delete(self, record: Conversion) -> dict[str, Any]:
        if not record.is_terminal:
            return {"status": 409}
        del self._records[record.id]
        return {"status": 204}

    def _step(self, conversion_id: str) -> None:
        """Let the service, a worker or a reaper take one step."""
        record = self._records.get(conversion_id)
        choices = _steps(record, self._now_s, self._chance) if record else []
        if choices:
            self._apply(self._chance.choice(choices))

    def _apply(self, change: Change) -> Conversion:
        before = self._records[change.id]
        added = {name: getattr(before, name) + number for name, number in change.increase.items()}  # type: ignore[operator]
        raised = {name: max(getattr(before, name), value) for name, value in change.raise_to.items()}  # type: ignore[call-overload]
        after = msgspec.structs.replace(before, **{**added, **raised, **change.assign, "status": change.to})
        self._records[change.id] = after
        return after


def _steps(record: Conversion, now_s: float, chance: random.Random) -> list[Change]:
    now_ms = int(now_s * 1000)
    match record.status:
        case Status.AWAITING_UPLOAD:
            return [transitions.confirm(record, source_format="txt", plan=(), family=Family.OFFICE, now_ms=now_ms)]
        case Status.PENDING:
            return [processing.claim(record.id, token=record.token, worker="w", now_ms=now_ms)]
        case Status.PROCESSING if record.cancel_requested:
            return [processing.cancel_running(record, now_ms=now_ms)]
        case Status.PROCESSING:
            percent = chance.uniform(0, 100)
            output = Output(key="", filename="", content_type="", size_bytes=1, sha256=f"{record.token}", sha512="")
            return [
                *[processing.beat(record.id, token=record.token, now_ms=now_ms, percent=percent)] * 3,
                processing.complete(record, outputs=(output,), engine_versions={}, now_ms=now_ms),
                processing.fail(record, code="engine_crashed", message="", now_ms=now_ms),
                processing.retry_later(record, code="engine_crashed", message="", wait_ms=0, now_ms=now_ms),
                processing.hand_back(record, now_ms=now_ms),
                processing.worker_lost(record, now_ms=now_ms),
            ]
    return []


def _told(record: Conversion) -> Told:
    body = conversion_body(record, base="", retention_ms=10**9)
    return told_of(msgspec.json.decode(msgspec.json.encode(body)))
