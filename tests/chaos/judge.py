"""`python -m tests.chaos.judge FOLDER`: judges a run by its kept folder, also one that was killed.

Starts database and object store on the data of the folder, without faults, reads what they hold, and prints the ledger.
"""

import argparse
import asyncio
import sys
from pathlib import Path

import msgspec

from deploy.local.stack.ports import Ports
from deploy.local.stack.stack import Stack
from tests.chaos.__main__ import silence_drivers
from tests.chaos.report.entries import Began
from tests.chaos.report.findings import READER_SETTINGS
from tests.chaos.report.journal import RUN, RunJournal
from tests.chaos.report.outcome import Outcome, judge
from tests.chaos.report.report import report
from tests.chaos.system import settings_of

READ = ("mongo", "s3")
NOT_A_RUN = 2


async def judge_folder(folder: Path) -> Outcome:
    """Start the servers of a folder, unless they still run, and judge it; stops only what it has started."""
    running = Stack(folder, ports=Ports.free())
    if known := await asyncio.to_thread(running.state):
        return await _judge(folder, known.environment)
    await running.start(READ)
    try:
        return await _judge(folder, running.environment)
    finally:
        await running.stop()


async def _judge(folder: Path, environment: dict[str, str]) -> Outcome:
    outcome = await judge(folder, settings_of(environment | READER_SETTINGS))
    return msgspec.structs.replace(outcome, kept_folder=str(folder))


def main() -> int:
    """Judge, print the report, return 0 when the run is clean."""
    parser = argparse.ArgumentParser(prog="tests.chaos.judge", description="Judge a chaos run by its folder.")
    parser.add_argument("folder", type=Path, help="the folder that the run printed at its start")
    folder = parser.parse_args().folder.resolve()
    if not any(isinstance(line, Began) for line in RunJournal(folder / RUN).read()):
        sys.stderr.write(f"{folder} holds no chaos run: it has no {RUN} that begins one\n")
        return NOT_A_RUN
    silence_drivers()
    outcome = asyncio.run(judge_folder(folder))
    print(report(outcome))
    return 0 if outcome.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
