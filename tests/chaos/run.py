"""One run of chaos from its first server to its ledger, as named steps."""

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from tests.chaos.client import Crowd, Door
from tests.chaos.conductor import Blow
from tests.chaos.faults import Fault, faults_for
from tests.chaos.processes.converter import ENGINE
from tests.chaos.report.complaints import complaints
from tests.chaos.report.figures import answer_times, recoveries, seconds_to_success, spread
from tests.chaos.report.findings import read_findings
from tests.chaos.report.ledger import Ledger, ledger_of
from tests.chaos.site import LEASE_S, Site, running_site
from tests.chaos.sources import source
from tests.chaos.watchers import Ear, Prober

DRAIN_S = 60.0
MOST_WAITING = 60
BETWEEN_FAULTS_S = (0.3, 1.2)
FIRST_FAULT_S = 1.0

Tell = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How long, how fast, with which seed, and whether logs and data stay even when all went well."""

    seconds: float
    seed: int
    per_second: float = 5.0
    is_kept: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger, and the figures beside it in words."""

    ledger: Ledger
    faults: int
    figures: tuple[str, ...]
    surprises: tuple[str, ...]
    kept_folder: str | None


async def run(plan: Plan, tell: Tell) -> Outcome:
    """Start everything, send clients while faults strike, heal, wait for the end of all, and count."""
    async with running_site(plan.seed) as site:
        tell(f"all is up in {site.home.root}")
        if site.small_disk is None:
            tell("left out: worker: disk full (only root may mount a small disk)")
        crowd = Crowd(Door(site.api_urls, site.stack.api_key))
        prober, ear = Prober(site.api_urls, site.stack.api_key), Ear(site.settings)
        watching = [asyncio.create_task(watcher.run()) for watcher in (prober, ear)]
        await asyncio.sleep(FIRST_FAULT_S)
        began_s = time.monotonic()
        sending = asyncio.create_task(_send_clients(crowd, plan))
        struck = await _strike(site, plan, lambda text: tell(f"{time.monotonic() - began_s:6.1f} s  {text}"))
        await sending
        await site.heal()
        tell(f"{time.monotonic() - began_s:6.1f} s  all is healed; waiting for {len(crowd.accounts)} conversions")
        await crowd.wait(DRAIN_S)
        tell(f"{time.monotonic() - began_s:6.1f} s  reading what has become of them")
        findings = await read_findings(site, ear.completions)
        for one in watching:
            one.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        ledger = ledger_of(crowd.accounts, findings)
        site.is_kept = plan.is_kept or not ledger.is_clean
        return Outcome(
            ledger=ledger,
            faults=struck,
            figures=tuple(_figures(site, prober)),
            surprises=tuple(text for account in crowd.accounts for text in account.surprises),
            kept_folder=str(site.home.root) if site.is_kept else None,
        )


def order_of(faults: list[Fault], seed: int) -> Iterator[Fault]:
    """All faults in an order that the seed decides, then all again in another one."""
    chance = random.Random(f"{seed}-order")
    while True:
        yield from chance.sample(faults, len(faults))


async def _send_clients(crowd: Crowd, plan: Plan) -> None:
    """At a steady pace, but no more than a machine of this size can bear: a queue of clients proves nothing here."""
    ends_s, number = time.monotonic() + plan.seconds, 0
    while time.monotonic() < ends_s:
        if crowd.waiting < MOST_WAITING:
            crowd.send(source(plan.seed, number))
            number += 1
        await asyncio.sleep(1 / plan.per_second)


async def _strike(site: Site, plan: Plan, tell: Tell) -> int:
    """One fault after the other until the time is over; those that go on beside others are waited for at the end."""
    struck = 0
    pauses = random.Random(f"{plan.seed}-pauses")
    deadline_s = time.monotonic() + plan.seconds
    async with asyncio.TaskGroup() as beside:
        for fault in order_of(faults_for(site), plan.seed):
            if time.monotonic() >= deadline_s:
                break
            struck += 1
            striking = beside.create_task(_strike_one(site, fault, tell))
            if not fault.is_beside:
                await striking
            await asyncio.sleep(pauses.uniform(*BETWEEN_FAULTS_S))
    return struck


async def _strike_one(site: Site, fault: Fault, tell: Tell) -> None:
    began_s = time.monotonic()
    try:
        said = await fault.strike(site)
    except Exception as error:  # an administrator's tool that fails on a busy machine must not end the run
        said = f"it did not work: {error!r}"
    tell(f"{fault.name}{f' ({said})' if said else ''}, {time.monotonic() - began_s:.1f} s")


def engines_left() -> list[int]:
    """Processes of the chaos engine that still run, daemons that it left behind among them."""
    mark = os.fsencode(ENGINE)
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if mark in _read(path)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""


def _figures(site: Site, prober: Prober) -> Iterator[str]:
    blows: list[Blow] = [blow for worker in site.workers for blow in worker.blows]
    needed = [outage for outage in site.outages if outage.dependency != "object_store"]
    times, net = spread(recoveries(site.journal.read(), blows)), spread(recoveries(site.journal.read(), blows, needed))
    yield (
        f"recovery            {times.count} runs of killed or stopped workers: p50 {times.p50_s:.1f} s, "
        f"max {times.most_s:.1f} s; since the last outage of database or broker p50 {net.p50_s:.1f} s, "
        f"p99 {net.p99_s:.1f} s, max {net.most_s:.1f} s (wanted: p99 within {LEASE_S + 5:.0f} s)"
    )
    for dependency, values in sorted(seconds_to_success(site.outages, prober.health).items()):
        all_of_it, (most_s, fault) = spread(seconds for seconds, _ in values), max(values)
        yield (
            f"first success after an outage of the {dependency}: {all_of_it.count} outages, "
            f"p50 {all_of_it.p50_s:.1f} s, max {most_s:.1f} s after {fault!r} (wanted: within 5 s)"
        )
    dark = [outage for outage in site.outages if outage.dependency == "database"]
    answers = spread(answer_times(prober.answers, dark, fault="black hole"))
    yield (
        f"answers of the API while the database is a black hole: {answers.count}, p50 {answers.p50_s:.2f} s, "
        f"p99 {answers.p99_s:.2f} s (wanted: p99 within 1 s)"
    )
    yield f"engines left behind: {len(engines_left())} (wanted: none)"
    unforeseen = ", ".join(f"{kind} {count}" for kind, count in complaints(site.home.logs).items())
    yield f"unforeseen errors in the logs: {unforeseen or 'none'}"
    yield f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    starts = {service.name: service.starts for service in site.services}
    yield "starts of our processes: " + ", ".join(f"{name} {count}" for name, count in starts.items())
