"""One chaos run as named steps, from the first server to the ledger."""

import asyncio
import itertools
import os
import random
import time
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from deploy.local.stack.stack import SERVERS
from tests.chaos.clients.client import Clients
from tests.chaos.clients.connection import Api
from tests.chaos.faults import Fault, faults_for
from tests.chaos.faults.fault import Met
from tests.chaos.faults.guaranteed import guaranteed_faults, missed_points
from tests.chaos.processes.converter import ENGINE
from tests.chaos.report.entries import Began, Drained, Figure, Injected, Verdict
from tests.chaos.report.findings import READER_SETTINGS
from tests.chaos.report.leftovers import leftovers, sweep
from tests.chaos.report.machine import loaded, measure
from tests.chaos.report.memory import sample
from tests.chaos.report.outcome import Outcome, judge
from tests.chaos.report.rereads import NotAnswered, until_answered
from tests.chaos.sources import WELL_BEHAVED, Source, alike, source
from tests.chaos.system import LEASE_S, System, direct_environment, running_system, settings_of
from tests.chaos.watchers import EventListener, Prober

DRAIN_S = 60.0
MOST_WAITING = 60
BETWEEN_FAULTS_S = (0.3, 1.2)
FIRST_FAULT_S = 1.0
ALIKE, ALIKE_IN_A_MINUTE, A_MINUTE_S = 100, 30, 60.0
"""So many requests with the same content come at once; a run of a minute has no time for the larger number."""
ALIKE_AT = 0.3  # of the run

ReportLine = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Duration, request rate and seed; `is_kept` keeps logs and data of a clean run too."""

    seconds: float
    seed: int
    per_second: float = 5.0
    is_kept: bool = False
    loaded: int = 0
    """Programs per core that keep the machine busy beside the run."""
    is_soak: bool = False
    """Without faults and without sources that misbehave, to watch memory for long."""


async def run(plan: Plan, report_line: ReportLine) -> Outcome:
    """Start everything, act, judge. Once everything has started, no error keeps the ledger from being made."""
    outcome: Outcome | None = None
    try:
        async with running_system(plan.seed) as system:
            await _begin(system, plan, report_line)
            await _act_to_the_end(system, plan, report_line)
            outcome = await judge(system.home.root, settings_of(system.stack.environment | READER_SETTINGS))
            _note_unclean_end(system, outcome)
            system.is_kept = plan.is_kept or not outcome.is_clean
            outcome = msgspec.structs.replace(outcome, kept_folder=str(system.home.root) if system.is_kept else None)
    except Exception:
        if outcome is None:
            raise
        failed = Verdict("the servers did not stop", traceback.format_exc(limit=-4))
        return msgspec.structs.replace(outcome, verdicts=(*outcome.verdicts, failed))
    return outcome


def _note_unclean_end(system: System, outcome: Outcome) -> None:
    """Write down what was wrong at the end of the run: later on it may have gone right after all."""
    ledger = outcome.ledger
    wrong = [*ledger.lost, *ledger.stuck, *ledger.doubled, *ledger.wrongly_failed, *ledger.told_falsely]
    if wrong:
        system.run_journal.append(Verdict("not clean when the run ended", "; ".join(wrong)))


async def _begin(system: System, plan: Plan, report_line: ReportLine) -> None:
    report_line(f"everything runs in {system.home.root}")
    if system.small_disk is None:
        report_line("left out: worker: disk full (only root may mount a small disk)")
    begun = Began(
        at_s=time.monotonic(),
        plan=msgspec.to_builtins(plan),
        environment=system.stack.environment,
        lease_s=LEASE_S,
    )
    system.run_journal.append(begun)


async def _act_to_the_end(system: System, plan: Plan, report_line: ReportLine) -> None:
    """Act; an error is a finding, and what is known goes into the ledger."""
    try:
        with loaded(plan.loaded):
            async with _watched(system):
                await _act(system, plan, report_line)
    except Exception as error:
        report_line(f"the run broke: {error!r}")
        system.run_journal.append(Verdict("the run broke", traceback.format_exc(limit=-6)))


async def _act(system: System, plan: Plan, report_line: ReportLine) -> None:
    """Send requests while faults are injected, heal, wait until all have ended."""
    clients = Clients(
        Api(system.api_urls, system.stack.api_key), system.run_journal, system.traffic, history=system.history
    )
    await asyncio.sleep(FIRST_FAULT_S)
    began_s = time.monotonic()

    def report_timed(text: str) -> None:
        report_line(f"{time.monotonic() - began_s:6.1f} s  {text}")

    try:
        is_over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(_send_clients(clients, plan, is_over))
            if plan.is_soak:
                await _watch_memory(system, plan)
            else:
                await _inject_all(system, plan, report_timed)
            is_over.set()
    finally:
        await system.heal()
        report_timed(f"everything is healed; waiting for {clients.waiting} of {clients.sent} conversions")
        errors = await clients.wait(DRAIN_S, lambda: len(system.journal.read()))
        system.run_journal.append(Drained(time.monotonic()))
    for error in errors:
        system.run_journal.append(Verdict("a client broke", repr(error)))
    await _count_leftovers(system)
    for text in _figures(system):
        system.run_journal.append(Figure(text))
    if left := engines_left():
        system.run_journal.append(Verdict("engines left behind", f"pids {left}"))
    report_timed("reading the final records")


async def _count_leftovers(system: System) -> None:
    """Let housekeeping remove what belongs to no record, then note what is left all the same."""
    environment = direct_environment(system)
    try:
        await until_answered("housekeeping", lambda: sweep(environment))
        found = await leftovers(settings_of(system.stack.environment | READER_SETTINGS), system.work_folders)
    except NotAnswered as error:
        found = [Verdict("leftovers could not be counted", str(error))]
    for verdict in found:
        system.run_journal.append(verdict)


@asynccontextmanager
async def _watched(system: System) -> AsyncIterator[None]:
    """Observe the system while the block runs; an observer that breaks is a verdict."""
    prober = Prober(system.api_urls, system.stack.api_key, system.run_journal, system.history)
    listener = EventListener(system.settings, system.run_journal, system.history)
    loops: dict[str, Coroutine[None, None, None]] = {
        "prober": prober.run(),
        "listener for events": listener.run(),
        "measuring of the machine": measure(system.run_journal, system.home.root),
    }
    watching = {name: asyncio.create_task(loop) for name, loop in loops.items()}
    try:
        yield
    finally:
        for watcher in watching.values():
            watcher.cancel()
        for name, ended in zip(watching, await asyncio.gather(*watching.values(), return_exceptions=True), strict=True):
            if isinstance(ended, Exception):
                system.run_journal.append(Verdict("an observer broke", f"{name}: {ended!r}"))


def order_of(faults: list[Fault], seed: int) -> Iterator[Fault]:
    """Yield all faults in an order that the seed decides, then all again in another order, forever."""
    chance = random.Random(f"{seed}-order")
    while True:
        yield from chance.sample(faults, len(faults))


async def _send_clients(clients: Clients, plan: Plan, is_over: asyncio.Event) -> None:
    """Send requests at a steady rate until the run is over, but limit those in flight: a backlog proves nothing."""
    began_s, sources = time.monotonic(), _sources(plan)
    ends_s, alike_left = began_s + plan.seconds, ALIKE if plan.seconds > A_MINUTE_S else ALIKE_IN_A_MINUTE
    while time.monotonic() < ends_s or not is_over.is_set():
        if alike_left and time.monotonic() > began_s + plan.seconds * ALIKE_AT:
            while alike_left:
                clients.send(alike(plan.seed, alike_left))
                alike_left -= 1
        if clients.waiting < MOST_WAITING:
            clients.send(next(sources))
        await asyncio.sleep(1 / plan.per_second)


def _sources(plan: Plan) -> Iterator[Source]:
    every = (source(plan.seed, number) for number in itertools.count())
    if not plan.is_soak:
        return every
    # Servers remember each object for as long as it exists. Nothing is kept, so that they have to stay flat too.
    habits = {"is_downloaded": True, "is_deleted": True, "is_file_deleted": True}
    return (msgspec.structs.replace(one, **habits) for one in every if one.kind in WELL_BEHAVED)


async def _watch_memory(system: System, plan: Plan) -> None:
    """Sample the memory of services and servers until the time is over."""

    def pids() -> dict[str, int]:
        servers = {name: pid for name, pid in system.stack.pids.items() if name in SERVERS}
        return servers | {service.name: service.pid for service in system.services}

    with suppress(TimeoutError):
        async with asyncio.timeout(plan.seconds):
            await sample(system.run_journal, pids)


async def _inject_all(system: System, plan: Plan, report_line: ReportLine) -> None:
    """Inject faults, and reach each point of death of a worker."""
    async with asyncio.TaskGroup() as faults:
        faults.create_task(_inject_faults(system, plan, report_line))
        faults.create_task(_reach_points_of_death(system, plan, report_line))
    for verdict in missed_points(system.run_journal.read()):
        system.run_journal.append(verdict)


async def _inject_faults(system: System, plan: Plan, report_line: ReportLine) -> None:
    """Inject one fault after another until the time is over; parallel ones are awaited at the end."""
    pauses = random.Random(f"{plan.seed}-pauses")
    deadline_s = time.monotonic() + plan.seconds
    async with asyncio.TaskGroup() as group:
        for fault in order_of(faults_for(system), plan.seed):
            if time.monotonic() >= deadline_s:
                break
            injecting = group.create_task(_inject(system, fault, report_line))
            if not fault.is_parallel:
                await injecting
            await asyncio.sleep(pauses.uniform(*BETWEEN_FAULTS_S))


async def _reach_points_of_death(system: System, plan: Plan, report_line: ReportLine) -> None:
    """Arm one point after another; return when a worker has died at each, or when even more time is up."""
    began_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for armed_s, fault in guaranteed_faults(plan.seconds, plan.seed):
            await asyncio.sleep(began_s + armed_s - time.monotonic())
            group.create_task(_inject(system, fault, report_line))


async def _inject(system: System, fault: Fault, report_line: ReportLine) -> None:
    began_s, error, met = time.monotonic(), "", Met(0, "")
    try:
        met = await fault.inject(system)
    except Exception as broken:  # an administrator's tool that fails on a busy machine must not end the run
        error = f", failed: {broken!r}"
    took_s = time.monotonic() - began_s
    done = Injected(at_s=began_s, took_s=took_s, name=fault.name, met=met.count, how=met.what, error=error)
    system.run_journal.append(done)
    report_line(f"{fault.name} (met {met.count} {met.what}{error}), {took_s:.1f} s")


def engines_left() -> list[int]:
    """Return the pids of chaos engines that still run, including daemons that they left behind."""
    mark = os.fsencode(ENGINE)
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if mark in _read(path)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""


def _figures(system: System) -> Iterator[str]:
    starts = {service.name: service.starts for service in system.services}
    yield "starts of our processes: " + ", ".join(f"{name} {count}" for name, count in starts.items())
