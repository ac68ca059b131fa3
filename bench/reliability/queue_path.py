"""Measures no-op conversions per second through the queue path of converto and of Celery, on the same servers.

Both publish with confirmation and acknowledge late, from as many producers into as many slots, with results in the
same database. They take turns within a round, and ratios are computed within a round. `bench/README.md` lists what each
side does for one conversion. Run it with `python -m bench.reliability.queue_path`.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from typing import Any

import msgspec
from pymongo import MongoClient

from bench.figures import print_table, save_figures, verdict
from bench.reliability.servers import end, environment_of, running_servers, started
from converto_engines.runtime.process_tree import usage_of
from deploy.local.stack.stack import Stack

LIMIT = 2.0
PRODUCERS, SLOTS = 2, 8
POLL_S, BATCH = 0.02, 50  # poll the oldest unfinished ids, a few at a time, which costs the database little
DEADLINE_S = 120.0
# By side: the collection and the status of a finished job.
SIDES = {
    "own": ("conversions", "completed"),
    "peer": ("celery_taskmeta", "SUCCESS"),
    "peer_once": ("records", "completed"),
}
TITLES = {"own": "converto", "peer": "Celery", "peer_once": "Celery, record claimed and completed"}


class Turn(msgspec.Struct, frozen=True):
    """One side in one round: conversions per second, and CPU milliseconds per conversion by process."""

    per_s: float
    cpu_ms: dict[str, float]


class Side:
    """The producers and the worker of one side; they run through all rounds, so that no start is measured."""

    def __init__(self, name: str, stack: Stack, database: str, queue_type: str) -> None:
        """Start the worker and the producers."""
        self.name, self._stack = name, stack
        environment = environment_of(stack, database) | {
            "PEER_QUEUE": name,
            "PEER_QUEUE_TYPE": queue_type,
            "CONVERTO_WORKER_SLOTS": str(SLOTS),
            "CONVERTO_LOG_LEVEL": "warning",
        }
        log = stack.home.logs / f"bench-{name}.log"
        self.workers = [started(worker_arguments(name), environment, log)]
        self.producers = [
            started(["-m", "bench.reliability.producer", name], environment, log, stdout=subprocess.PIPE)
            for _ in range(PRODUCERS)
        ]
        collection, self._done = SIDES[name]
        url = stack.environment["CONVERTO_MONGODB_URL"]
        self._found = MongoClient[dict[str, Any]](url)[database if name == "own" else f"{database}_peer"][collection]

    def turn(self, count: int) -> Turn:
        """Submit `count` jobs and wait until the last has finished."""
        before, began = self._computed_s(), time.perf_counter()
        for producer in self.producers:
            assert producer.stdin is not None
            producer.stdin.write(f"{count // PRODUCERS}\n".encode())
            producer.stdin.flush()
        ids = [one for producer in self.producers for one in json.loads(producer.stdout.readline())]  # type: ignore[union-attr]
        self._wait_for(ids)
        took_s, after = time.perf_counter() - began, self._computed_s()
        cpu_ms = {name: round((after[name] - before[name]) / len(ids) * 1000, 2) for name in after}
        return Turn(per_s=round(len(ids) / took_s, 1), cpu_ms=cpu_ms)

    def close(self) -> None:
        """Stop the worker and the producers."""
        end([*self.producers, *self.workers])

    def _wait_for(self, ids: list[str]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while ids:
            asked = ids[:BATCH]
            done = {row["_id"] for row in self._found.find({"_id": {"$in": asked}, "status": self._done}, {"_id": 1})}
            ids = [one for one in ids if one not in done]
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: {len(ids)} jobs did not finish within {DEADLINE_S:.0f} s")
            if len(done) < len(asked):
                time.sleep(POLL_S)

    def _computed_s(self) -> dict[str, float]:
        pids = self._stack.pids
        return {
            "database": usage_of(pids["mongo"]).cpu_s,
            "broker": usage_of(pids["rabbitmq"]).cpu_s,
            "producers": sum(usage_of(process.pid).cpu_s for process in self.producers),
            "worker": sum(usage_of(process.pid).cpu_s for process in self.workers),
        }


def worker_arguments(name: str) -> list[str]:
    """Return the arguments that start a side's worker."""
    if name == "own":
        return ["-m", "bench.reliability.bare_worker", "nothing"]
    celery = ["-m", "celery", "--app", "bench.reliability.peer", "worker", "--concurrency", str(SLOTS)]
    celery += ["--hostname", f"{name}@%h"]  # two nodes with the same name would share one control queue
    return [*celery, "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]


async def measured(rounds: int, count: int, queue_type: str) -> list[dict[str, Turn]]:
    """Run all rounds; the order of the sides rotates."""
    async with running_servers() as stack:
        return await asyncio.to_thread(_all_rounds, stack, rounds, count, queue_type)


def _all_rounds(stack: Stack, rounds: int, count: int, queue_type: str) -> list[dict[str, Turn]]:
    database = f"bench{time.time_ns()}"
    sides: dict[str, Side] = {}
    try:
        for name in SIDES:
            sides[name] = Side(name, stack, database, queue_type)
        for side in sides.values():
            side.turn(count // 10)
        turns = []
        for number in range(rounds):
            names = list(SIDES)[number % len(SIDES) :] + list(SIDES)[: number % len(SIDES)]
            entry = {name: sides[name].turn(count) for name in names}
            print("  " + ", ".join(f"{name} {entry[name].per_s:.0f}/s" for name in SIDES))
            turns.append(entry)
        return turns
    finally:
        for side in sides.values():
            side.close()


def main() -> int:
    """Return 0 if converto meets its limit against the plain Celery program, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=1000, help="conversions per side and round")
    parser.add_argument("--peer-queue", choices=("quorum", "classic"), default="quorum")
    chosen = parser.parse_args()
    rounds = asyncio.run(measured(chosen.rounds, chosen.count, chosen.peer_queue))
    ratios = {
        name: round(statistics.median(entry["own"].per_s / entry[name].per_s for entry in rounds), 2)
        for name in SIDES
        if name != "own"
    }
    print_table(
        f"No-op conversions, {len(rounds)} rounds of {chosen.count}, {SLOTS} slots, Celery with {chosen.peer_queue}",
        ["", "per second", *(f"{part} ms" for part in rounds[0]["own"].cpu_ms), "all ms"],
        [[TITLES[name], *_medians([entry[name] for entry in rounds])] for name in SIDES],
    )
    print("  ms: CPU time per conversion, which is more reliable than seconds when the machine is busy")
    is_met = verdict("converto / Celery", ratios["peer"], LIMIT, is_upper=False)
    print(f"  info    converto / Celery with a record that is claimed and completed: {ratios['peer_once']:g}")
    save_figures(
        "reliability_queue_path", {"rounds": msgspec.to_builtins(rounds), "ratios": ratios, "queue": chosen.peer_queue}
    )
    return 0 if is_met else 1


def _medians(turns: list[Turn]) -> list[str]:
    parts = {part: statistics.median(turn.cpu_ms[part] for turn in turns) for part in turns[0].cpu_ms}
    per_s = statistics.median(turn.per_s for turn in turns)
    return [f"{per_s:.0f}", *(f"{cpu_ms:.1f}" for cpu_ms in parts.values()), f"{sum(parts.values()):.1f}"]


if __name__ == "__main__":
    sys.exit(main())
