"""Everything that may happen to a cluster, as steps: a name and plain values, so that a run can be written down.

A step whose time has not come (no engine runs, no conversion has ended) does nothing, so any list of steps can be run.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from converto_core.conversion.record import TERMINAL, Conversion, Status
from converto_core.errors import CorruptSource
from tests.unit.model.cluster import Cluster
from tests.unit.model.links import Fault, Link
from tests.unit.model.processes import Api, Process
from tests.unit.model.requests import OF_ANOTHER_SIZE, OF_ANOTHER_TYPE, OTHER, PAGES, SOURCE
from tests.unit.model.worker import Worker, crash

MOST_CONVERSIONS = 6
BODIES = {
    "some": SOURCE, "other": OTHER, "pages": PAGES, "another type": OF_ANOTHER_TYPE, "another size": OF_ANOTHER_SIZE,
}  # fmt: skip
ERRORS: dict[str, Callable[[], Exception]] = {"crash": crash, "corrupt": CorruptSource}
FAULTS = tuple(fault.value for fault in Fault if fault is not Fault.NONE)

ANY = tuple(range(12))  # which one is affected: taken modulo the number of candidates
GOOD = ("some", "some", "some", "other", "pages")
SECONDS = (0.3, 1.0, 1.7, 3.0, 5.0, 9.0)
AT_REST = 0
TURNS = (AT_REST, AT_REST, AT_REST, 1, 3, 8, 20)
"""How many turns of the loop pass until the next step; `AT_REST` lets all processes come to rest."""


class Step(NamedTuple):
    """One thing that happens, and how many turns of the loop pass after it."""

    name: str
    values: dict[str, Any]
    turns: int = AT_REST


class Kind(NamedTuple):
    """A kind of step: how often it is chosen, and the values that each of its arguments may have."""

    weight: int
    values: dict[str, Sequence[Any]]


KINDS = {
    "submit": Kind(4, {"body": GOOD, "sent": (*GOOD, "another type", "another size", None), "api": ANY}),
    "submit_by_form": Kind(1, {"body": GOOD, "api": ANY}),
    "submit_for_file": Kind(3, {"number": ANY, "is_fresh": (False, False, False, True), "api": ANY}),
    "submit_again": Kind(2, {"number": ANY, "api": ANY}),
    "upload": Kind(1, {"number": ANY}),
    "confirm": Kind(2, {"number": ANY, "api": ANY}),
    "report": Kind(1, {"number": ANY}),
    "cancel": Kind(2, {"number": ANY, "api": ANY}),
    "retry": Kind(3, {"number": ANY, "api": ANY}),
    "delete": Kind(3, {"number": ANY, "api": ANY}),
    "delete_file": Kind(1, {"number": ANY, "api": ANY}),
    "progress": Kind(1, {"number": ANY, "percent": (5.0, 40.0, 90.0)}),
    "end": Kind(8, {
        "number": ANY,
        "error": (None, None, None, None, "crash", "crash", "corrupt"),
        "fault": (*[Fault.NONE.value] * 6, *FAULTS),
        "is_once": (False, True),
        "is_cancelled": (False, False, False, True),
    }),
    "vanish": Kind(3, {
        "number": ANY,
        "trouble": ("freeze", "freeze", "kill", *FAULTS),
        "seconds": (3.0, 7.0, 9.5, 12.0),
        "is_over": (False, True),
    }),
    "trouble": Kind(3, {"number": ANY, "trouble": ("freeze", "kill", "kill", "stop")}),
    "thaw": Kind(2, {"number": ANY}),
    "fill_disk": Kind(1, {"number": ANY, "is_full": (False, True)}),
    "set_wall_clock": Kind(1, {"number": ANY, "hours": (-3, 0, 3)}),
    "disturb": Kind(3, {"number": ANY, "server": (0, 1, 2, 3), "fault": FAULTS, "is_once": (False, True, True)}),
    "disturb_writes": Kind(3, {"number": ANY, "server": (0, 2), "fault": FAULTS, "is_once": (False, True, True)}),
    "clear": Kind(4, {"number": ANY}),
    "take_away": Kind(1, {"server": ("stores", "bus", "objects", "upload_events"), "is_away": (False, True)}),
    "disturb_queues": Kind(1, {"how": ("purge", "lose", "repeat", "repeat"), "number": ANY}),
    "let_pass": Kind(6, {"seconds": SECONDS}),
    "sweep": Kind(3, {"number": ANY}),
    "be_suspended": Kind(2, {"seconds": (20.0, 65.0, 160.0, 260.0)}),
}  # fmt: skip
"""Changing a value changes all runs: a seed then names another run than before."""


def random_step(chance: random.Random) -> Step:
    """Choose any step."""
    (name,) = chance.choices(list(KINDS), [kind.weight for kind in KINDS.values()])
    values = {argument: chance.choice(values) for argument, values in KINDS[name].values.items()}
    return Step(name, values, chance.choice(TURNS))


class Steps:
    """Takes steps in one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def take(self, step: Step) -> None:
        """Take the step, then let the processes run."""
        getattr(self, step.name)(**step.values)
        if step.turns == AT_REST:
            self.cluster.settle()
        else:
            self.cluster.loop.run_turns(step.turns)
            self.cluster.check()

    # Users

    def submit(self, body: str, sent: str | None, api: int) -> None:
        """A new conversion; what is sent for it may be something else, or nothing."""
        if len(self.cluster.records) >= MOST_CONVERSIONS:
            return
        if sent is not None and sent in GOOD:
            self.cluster.submit(BODIES[body], api=self.api(api))
            return
        creation = self.cluster.create(BODIES[body], api=self.api(api))
        self.cluster.settle()
        for record in self.cluster.made_by(creation) if sent is not None else ():
            self.cluster.upload(record, BODIES[sent or body])

    def submit_by_form(self, body: str, api: int) -> None:
        if len(self.cluster.records) < MOST_CONVERSIONS:
            self.cluster.create_by_form(BODIES[body], api=self.api(api))

    def submit_for_file(self, number: int, is_fresh: bool, api: int) -> None:
        """The same request for a file that is there: its result may come from the cache."""
        if self.cluster.records and len(self.cluster.records) < MOST_CONVERSIONS:
            record = self.one(number)
            self.cluster.create_for_file(record.file_id, is_fresh=is_fresh, api=self.api(api))

    def submit_again(self, number: int, api: int) -> None:
        """The client did not get the answer; it does not ask again for what it has deleted."""
        creations = [one for one in self.cluster.facts.creations if not one.ids & self.cluster.model.removed]
        if creations:
            self.cluster.create_again(creations[number % len(creations)], api=self.api(api))

    def upload(self, number: int) -> None:
        """The client sends the right bytes, for the first time or once more."""
        if waiting := self.with_status(Status.AWAITING_UPLOAD):
            record = waiting[number % len(waiting)]
            self.cluster.upload(record, self.cluster.facts.wanted.get(record.file_id, SOURCE))

    def confirm(self, number: int, api: int) -> None:
        if self.with_status(Status.AWAITING_UPLOAD):
            self.cluster.confirm(self.one(number, Status.AWAITING_UPLOAD), api=self.api(api))

    def report(self, number: int) -> None:
        """An event of the object store: at once, late, or once more; about bytes that may be gone again."""
        if self.with_status():
            self.cluster.report(self.one(number))

    def cancel(self, number: int, api: int) -> None:
        if self.with_status():
            self.cluster.cancel(self.one(number), api=self.api(api))

    def retry(self, number: int, api: int) -> None:
        ended = TERMINAL - {Status.COMPLETED}
        if self.with_status(*ended):
            self.cluster.retry(self.one(number, *ended), api=self.api(api))

    def delete(self, number: int, api: int) -> None:
        if self.with_status(*TERMINAL):
            self.cluster.delete(self.one(number, *TERMINAL), api=self.api(api))

    def delete_file(self, number: int, api: int) -> None:
        if self.with_status():
            self.cluster.delete_file(self.one(number).file_id, api=self.api(api))

    # Engines

    def progress(self, number: int, percent: float) -> None:
        if self.cluster.engines:
            self.busy_worker(number).engines[0].progress(percent)

    def end(self, number: int, error: str | None, fault: str, is_once: bool, is_cancelled: bool) -> None:
        """An engine succeeds or fails, possibly while its user cancels or while its final update meets a fault."""
        if not self.cluster.engines:
            return
        worker = self.busy_worker(number)
        engine = worker.engines[0]
        worker.database.set_fault(Fault(fault), is_once=is_once)
        if is_cancelled:
            self.cluster.cancel(engine.claimed)
            self.cluster.settle()
        if error is None:
            engine.finish()
        else:
            engine.fail(ERRORS[error]())

    # Processes

    def vanish(self, number: int, trouble: str, seconds: float, is_over: bool) -> None:
        """A busy worker is unreachable for about one lease; then it may come back as if nothing had happened."""
        if not self.cluster.engines:
            return
        worker = self.busy_worker(number)
        self.make(worker, trouble)
        self.cluster.let_pass(seconds)
        if is_over:
            worker.thaw()
            worker.database.set_fault(Fault.NONE)

    def trouble(self, number: int, trouble: str) -> None:
        self.make(self.process(number), trouble)

    def thaw(self, number: int) -> None:
        if frozen := [process for process in self.cluster.processes if process.is_frozen]:
            frozen[number % len(frozen)].thaw()

    def fill_disk(self, number: int, is_full: bool) -> None:
        workers = self.cluster.workers
        workers[number % len(workers)].disk.is_full = is_full

    def set_wall_clock(self, number: int, hours: int) -> None:
        self.cluster.set_wall_clock(self.process(number), hours * 3_600_000)

    # Network and servers

    def disturb(self, number: int, server: int, fault: str, is_once: bool) -> None:
        self.process(number).links[server].set_fault(Fault(fault), is_once=is_once)

    def disturb_writes(self, number: int, server: int, fault: str, is_once: bool) -> None:
        """Reads work, but a write arrives late, loses its answer, or never arrives."""
        self.process(number).links[server].set_fault(Fault(fault), is_once=is_once, is_for_writes=True)

    def clear(self, number: int) -> None:
        if links := self.disturbed():
            links[number % len(links)].set_fault(Fault.NONE)

    def take_away(self, server: str, is_away: bool) -> None:
        getattr(self.cluster, server).is_away = is_away

    def disturb_queues(self, how: str, number: int) -> None:
        bus = self.cluster.bus
        if how == "purge":
            bus.purge()
        elif how == "lose":
            bus.lose_one()
        elif bus.sent:
            bus.repeat(bus.sent[-1 - number % len(bus.sent)])  # the same message again, however old

    # Time

    def let_pass(self, seconds: float) -> None:
        self.cluster.let_pass(seconds)

    def sweep(self, number: int) -> None:
        self.cluster.housekeepers[number % len(self.cluster.housekeepers)].nudge()

    def be_suspended(self, seconds: float) -> None:
        """All timers fire late and once: what has a retention time may be too old now."""
        self.cluster.loop.jump(seconds)

    # Who

    def make(self, process: Process, trouble: str) -> None:
        if trouble == "freeze":
            process.freeze()
        elif trouble == "kill":
            self.cluster.kill(process)
        elif trouble == "stop" and isinstance(process, Worker):
            process.ask_to_stop()
        elif trouble in FAULTS:
            process.database.set_fault(Fault(trouble))

    def with_status(self, *statuses: Status) -> list[Conversion]:
        return [record for record in self.cluster.records if not statuses or record.status in statuses]

    def one(self, number: int, *statuses: Status) -> Conversion:
        found = self.with_status(*statuses)
        return found[number % len(found)]

    def api(self, number: int) -> Api:
        return self.cluster.apis[number % len(self.cluster.apis)]

    def process(self, number: int) -> Process:
        return self.cluster.processes[number % len(self.cluster.processes)]

    def busy_worker(self, number: int) -> Worker:
        busy = [worker for worker in self.cluster.workers if worker.engines]
        return busy[number % len(busy)]

    def disturbed(self) -> list[Link]:
        links = [link for process in self.cluster.processes for link in process.links]
        return [link for link in links if link.fault is not Fault.NONE]
