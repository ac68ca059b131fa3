"""One chaos run as named steps, from the first server to the ledger."""

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from tests.chaos.client import Api, Clients
from tests.chaos.faults import Fault, faults_for
from tests.chaos.processes.converter import ENGINE
from tests.chaos.report.figures import answer_times, recoveries, seconds_to_success, spread
from tests.chaos.report.findings import read_findings
from tests.chaos.report.ledger import Ledger, ledger_of
from tests.chaos.report.unexpected_errors import unexpected_errors
from tests.chaos.service import Interruption
from tests.chaos.sources import source
from tests.chaos.system import LEASE_S, System, running_system
from tests.chaos.watchers import EventListener, Prober

DRAIN_S = 60.0
MOST_WAITING = 60
BETWEEN_FAULTS_S = (0.3, 1.2)
FIRST_FAULT_S = 1.0

ReportLine = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Duration, request rate and seed; `is_kept` keeps logs and data of a clean run too."""

    seconds: float
    seed: int
    per_second: float = 5.0
    is_kept: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger of a run and its measurements as text."""

    ledger: Ledger
    faults: int
    figures: tuple[str, ...]
    unexpected_answers: tuple[str, ...]
    kept_folder: str | None


async def run(plan: Plan, report_line: ReportLine) -> Outcome:
    """Start everything, send requests while faults are injected, heal, wait until all have ended, and count."""
    async with running_system(plan.seed) as system:
        report_line(f"everything runs in {system.home.root}")
        if system.small_disk is None:
            report_line("left out: worker: disk full (only root may mount a small disk)")
        clients = Clients(Api(system.api_urls, system.stack.api_key))
        prober, listener = Prober(system.api_urls, system.stack.api_key), EventListener(system.settings)
        watching = [asyncio.create_task(each.run()) for each in (prober, listener)]
        await asyncio.sleep(FIRST_FAULT_S)
        began_s = time.monotonic()
        sending = asyncio.create_task(_send_clients(clients, plan))

        def report_timed(text: str) -> None:
            report_line(f"{time.monotonic() - began_s:6.1f} s  {text}")

        injected = await _inject_faults(system, plan, report_timed)
        await sending
        await system.heal()
        report_timed(f"everything is healed; waiting for {len(clients.accounts)} conversions")
        await clients.wait(DRAIN_S)
        report_timed("reading the final records")
        findings = await read_findings(system, listener.completions)
        for watcher in watching:
            watcher.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        ledger = ledger_of(clients.accounts, findings)
        system.is_kept = plan.is_kept or not ledger.is_clean
        return Outcome(
            ledger=ledger,
            faults=injected,
            figures=tuple(_figures(system, prober)),
            unexpected_answers=tuple(text for account in clients.accounts for text in account.unexpected_answers),
            kept_folder=str(system.home.root) if system.is_kept else None,
        )


def order_of(faults: list[Fault], seed: int) -> Iterator[Fault]:
    """Yield all faults in an order that the seed decides, then all again in another order, forever."""
    chance = random.Random(f"{seed}-order")
    while True:
        yield from chance.sample(faults, len(faults))


async def _send_clients(clients: Clients, plan: Plan) -> None:
    """Send requests at a steady rate, but limit those in flight: a backlog on a small machine proves nothing here."""
    ends_s, number = time.monotonic() + plan.seconds, 0
    while time.monotonic() < ends_s:
        if clients.waiting < MOST_WAITING:
            clients.send(source(plan.seed, number))
            number += 1
        await asyncio.sleep(1 / plan.per_second)


async def _inject_faults(system: System, plan: Plan, report_line: ReportLine) -> int:
    """Inject one fault after another until the time is over; parallel ones are awaited at the end."""
    injected = 0
    pauses = random.Random(f"{plan.seed}-pauses")
    deadline_s = time.monotonic() + plan.seconds
    async with asyncio.TaskGroup() as group:
        for fault in order_of(faults_for(system), plan.seed):
            if time.monotonic() >= deadline_s:
                break
            injected += 1
            injecting = group.create_task(_inject(system, fault, report_line))
            if not fault.is_parallel:
                await injecting
            await asyncio.sleep(pauses.uniform(*BETWEEN_FAULTS_S))
    return injected


async def _inject(system: System, fault: Fault, report_line: ReportLine) -> None:
    began_s = time.monotonic()
    try:
        note = await fault.inject(system)
    except Exception as error:  # an administrator's tool that fails on a busy machine must not end the run
        note = f"failed: {error!r}"
    report_line(f"{fault.name}{f' ({note})' if note else ''}, {time.monotonic() - began_s:.1f} s")


def engines_left() -> list[int]:
    """Return the pids of chaos engines that still run, including daemons that they left behind."""
    mark = os.fsencode(ENGINE)
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if mark in _read(path)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""


def _figures(system: System, prober: Prober) -> Iterator[str]:
    interruptions: list[Interruption] = [one for worker in system.workers for one in worker.interruptions]
    needed = [outage for outage in system.outages if outage.dependency != "object_store"]
    journal = system.journal.read()
    times, net = spread(recoveries(journal, interruptions)), spread(recoveries(journal, interruptions, needed))
    yield (
        f"recovery            {times.count} runs of killed or stopped workers: p50 {times.p50_s:.1f} s, "
        f"max {times.most_s:.1f} s; since the last outage of database or broker p50 {net.p50_s:.1f} s, "
        f"p99 {net.p99_s:.1f} s, max {net.most_s:.1f} s (wanted: p99 within {LEASE_S + 5:.0f} s)"
    )
    for dependency, values in sorted(seconds_to_success(system.outages, prober.health).items()):
        times, (most_s, fault) = spread(seconds for seconds, _ in values), max(values)
        yield (
            f"first success after an outage of the {dependency}: {times.count} outages, "
            f"p50 {times.p50_s:.1f} s, max {most_s:.1f} s after {fault!r} (wanted: within 5 s)"
        )
    down = [outage for outage in system.outages if outage.dependency == "database"]
    answers = spread(answer_times(prober.answers, down, fault="black hole"))
    yield (
        f"answers of the API while the database is a black hole: {answers.count}, p50 {answers.p50_s:.2f} s, "
        f"p99 {answers.p99_s:.2f} s (wanted: p99 within 1 s)"
    )
    yield f"engines left behind: {len(engines_left())} (wanted: none)"
    unexpected = ", ".join(f"{kind} {count}" for kind, count in unexpected_errors(system.home.logs).items())
    yield f"unexpected errors in the logs: {unexpected or 'none'}"
    yield f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    starts = {service.name: service.starts for service in system.services}
    yield "starts of our processes: " + ", ".join(f"{name} {count}" for name, count in starts.items())
