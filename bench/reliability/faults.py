"""Runs the same job under the same faults on Celery and on converto, one after the other, and counts the results.

The README of the benchmarks describes the programs, the faults and the terms of the ledger. Run it with
`python -m bench.reliability.faults [--seconds N] [--seed S]`; the same seed repeats the order of the faults.
"""

import argparse
import asyncio
import random
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
from pymongo import MongoClient

from bench.figures import print_table, save_figures, verdict
from bench.reliability import journal
from bench.reliability.fault_kinds import FAULTS, Site
from bench.reliability.peer import source_key
from bench.reliability.programs import LEASE_S, prepared
from bench.reliability.servers import running_servers
from converto_infra.s3.store import S3ObjectStore
from converto_infra.settings import Settings
from deploy.local.stack.stack import Stack

# name → side, and Celery's task_reject_on_worker_lost (its documentation describes both values)
RUNS = {
    "Celery": ("peer", "no"),
    "Celery, reject on lost": ("peer", "yes"),
    "converto": ("own", ""),
}
GAP_S = (2.0, 5.0)
# What is left counts as lost after this long without any event: several times what either side needs to react.
QUIET_S = 6 * LEASE_S
COLUMNS = ("attempted", "accepted", "completed", "wrongly failed", "lost", "stuck", "doubled", "executions")


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of one run.

    Lost: accepted and waiting, but nothing will run it. Stuck: marked as processing, but nothing works on it.
    Doubled: became visible as completed twice.
    """

    attempted: int
    accepted: int
    completed: int
    wrongly_failed: int
    lost: int
    stuck: int
    doubled: int
    executions: int
    faults: dict[str, int]

    @property
    def broken(self) -> int:
        """The sum of everything that must be zero."""
        return self.wrongly_failed + self.lost + self.stuck + self.doubled


async def everything(seconds: float, seed: int, kinds: list[str]) -> dict[str, Ledger]:
    """Run all three on one set of servers."""
    async with running_servers() as stack:
        await _put_sources(stack)
        return {name: await one_run(name, stack, seconds=seconds, seed=seed, kinds=kinds) for name in RUNS}


async def one_run(name: str, stack: Stack, *, seconds: float, seed: int, kinds: list[str]) -> Ledger:
    """Submit work during faults, stop the faults, wait until nothing happens any more, and count."""
    side, reject_on_lost = RUNS[name]
    database, path = f"bench{time.time_ns()}", stack.home.root / f"{time.time_ns()}.journal"
    path.touch()
    async with prepared(stack, side, database=database, journal=path, reject_on_lost=reject_on_lost) as programs:
        done = await _with_faults(Site(stack, programs), kinds, seconds, random.Random(seed))
        programs.stop_clients()
        records = _Records(stack, side, database, path)
        await _until_quiet(records)
        print(f"  {name}: {sum(done.values())} faults", flush=True)
        return await asyncio.to_thread(records.ledger, done)


async def _with_faults(site: Site, kinds: list[str], seconds: float, chance: random.Random) -> dict[str, int]:
    """Cause every kind of fault once in random order, then again; each ends before the next begins."""
    done = dict.fromkeys(kinds, 0)
    deadline, waiting = time.monotonic() + seconds, list[str]()
    while time.monotonic() < deadline:
        await asyncio.sleep(chance.uniform(*GAP_S))
        if not waiting:
            waiting = chance.sample(kinds, len(kinds))
        name = waiting.pop()
        done[name] += await FAULTS[name](site, chance)
    return done


async def _until_quiet(records: "_Records") -> None:
    """Return when all jobs are completed, or when nothing has happened for `QUIET_S`."""
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET_S:
        left, lines = await asyncio.to_thread(records.progress)
        if not left:
            return
        if lines != seen:
            seen, since = lines, time.monotonic()
        await asyncio.sleep(0.5)


class _Records:
    """The database and the journal of one run."""

    def __init__(self, stack: Stack, side: str, database: str, path: Path) -> None:
        client = MongoClient[dict[str, Any]](stack.environment["CONVERTO_MONGODB_URL"])
        self._path, self._side = path, side
        self._jobs = client[database]["conversions"] if side == "own" else client[f"{database}_peer"]["records"]
        self._results = client[f"{database}_peer"]["celery_taskmeta"]

    def progress(self) -> tuple[int, int]:
        """Return how many accepted jobs are not visible as completed, and how many executions were recorded."""
        counts = journal.read(self._path)
        left = set(counts[journal.ACCEPTED]) - set(counts[journal.EFFECT])
        return len(left), sum(counts[journal.RUN].values())

    def ledger(self, faults: dict[str, int]) -> Ledger:
        """Return the final counts."""
        counts = journal.read(self._path)
        accepted = set(counts[journal.ACCEPTED])
        ends = [self._end_of(job_id) for job_id in accepted]
        return Ledger(
            attempted=sum(counts[journal.ATTEMPTED].values()),
            accepted=len(accepted),
            completed=ends.count("completed"),
            wrongly_failed=ends.count("failed"),
            lost=ends.count("pending"),
            stuck=ends.count("processing"),
            doubled=sum(1 for times in counts[journal.EFFECT].values() if times > 1),
            executions=sum(counts[journal.RUN].values()),
            faults=faults,
        )

    def _end_of(self, job_id: str) -> str:
        record = self._jobs.find_one({"_id": job_id})
        status = "pending" if record is None else str(record["status"])
        if status == "completed" or self._side == "own":
            return status
        result = self._results.find_one({"_id": job_id})
        return "failed" if result is not None and result["status"] == "FAILURE" else status


async def _put_sources(stack: Stack) -> None:
    settings: dict[str, Any] = {
        name.removeprefix("CONVERTO_").lower(): value for name, value in stack.environment.items()
    }
    objects = S3ObjectStore.connect(Settings(**settings))
    try:
        await objects.ensure_bucket()
        for digit in "0123456789abcdef":
            await objects.put(source_key(digit), b"a small source\n" * 64, content_type="text/plain")
    finally:
        await objects.close()


def main() -> int:
    """Return 0 if converto has no lost, stuck, doubled or wrongly failed job; Celery's counts are only printed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=90, help="duration of the faults in each of the three runs")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--without", action="append", default=[], choices=FAULTS, help="omit this fault")
    chosen = parser.parse_args()
    kinds = sorted(set(FAULTS) - set(chosen.without))
    print(f"seed {chosen.seed}")
    ledgers = asyncio.run(everything(chosen.seconds, chosen.seed, kinds))
    rows = [[name, *(getattr(one, word.replace(" ", "_")) for word in COLUMNS)] for name, one in ledgers.items()]
    print_table(
        f"The same job under the same faults, {chosen.seconds:.0f} s each, seed {chosen.seed}", ["", *COLUMNS], rows
    )
    faults = [[name, *(one.faults[kind] for kind in kinds)] for name, one in ledgers.items()]
    print_table("Faults", ["", *kinds], faults)
    is_met = verdict("converto: lost, stuck, doubled or wrongly failed", ledgers["converto"].broken, 0)
    save_figures(
        "reliability_faults", {"seed": chosen.seed, "seconds": chosen.seconds, "runs": msgspec.to_builtins(ledgers)}
    )
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
