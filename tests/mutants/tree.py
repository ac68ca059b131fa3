"""A private copy of the repository's code and tests, in which a mutant can be tried."""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType

import msgspec

from tests.mutants.mutant import Mutant

COPIED = ("libs", "services", "tests", "deploy", "pyproject.toml")
PYTEST = ("-m", "pytest", "-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--no-header", "--tb=no")
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+::\S+)", re.MULTILINE)
TESTS_FAILED = 1


class Outcome(StrEnum):
    """What a run of tests says about the code."""

    PASSED = "passed"
    FAILED = "failed"
    HUNG = "hung"
    BROKEN = "broken"


class Run(msgspec.Struct, frozen=True):
    """The outcome of a run; `detail` is the test that failed, or the end of the output of a run that is broken."""

    outcome: Outcome
    detail: str = ""


class Tree:
    """A copy of the repository in a folder of its own; `close` removes it."""

    def __init__(self, source: Path, folder: Path, *, timeout_s: float) -> None:
        """A run that takes longer than `timeout_s` is killed with everything that it has started."""
        self.folder = folder
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[str] | None = None
        self._is_stopped = False
        folder.mkdir(parents=True)
        for name in COPIED:
            _copy(source / name, folder / name)

    def __enter__(self) -> "Tree":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self) -> None:
        """End the present run, which is broken then, and start no other."""
        self._is_stopped = True
        if self._process is not None:
            _kill_group(self._process)

    def test_with(self, mutant: Mutant, tests: Sequence[str]) -> Run:
        """Run tests with the fault in place; the copy is whole again afterwards."""
        path = self.folder / mutant.file
        original = mutant.apply_to(self.folder)
        _forget_bytecode(path)
        try:
            return self.test(tests)
        finally:
            path.write_text(original, "utf-8")
            _forget_bytecode(path)

    def test(self, tests: Sequence[str]) -> Run:
        """Run these tests until the first one fails."""
        if self._is_stopped:
            return Run(Outcome.BROKEN, "stopped")
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        process = self._process = subprocess.Popen(
            [sys.executable, *PYTEST, *tests],
            cwd=self.folder,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=self._timeout_s)
        except subprocess.TimeoutExpired:
            return Run(Outcome.HUNG, f"no end within {self._timeout_s:g} s")
        finally:
            _kill_group(process)
            self._process = None
            if process.stdout is not None:
                process.stdout.close()
        return _run_of(process.returncode, output)


def _run_of(status: int, output: str) -> Run:
    """Read pytest's summary. A module that cannot be imported has not been tested."""
    if status == 0:
        return Run(Outcome.PASSED)
    failed = FAILED.search(output)
    if status == TESTS_FAILED and failed is not None:
        return Run(Outcome.FAILED, failed[1])
    return Run(Outcome.BROKEN, "\n".join(output.strip().splitlines()[-5:]))


def _kill_group(process: "subprocess.Popen[str]") -> None:
    """Kill what the run has started, its own children too; a group that has ended is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _copy(source: Path, target: Path) -> None:
    if source.is_file():
        shutil.copy2(source, target)
    else:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("node_modules", ".terraform"))


def _forget_bytecode(path: Path) -> None:
    """Remove the compiled file: a change of equal length within one second would go unnoticed."""
    Path(importlib.util.cache_from_source(path)).unlink(missing_ok=True)
