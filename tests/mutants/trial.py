"""Tries all mutants, each first against the tests that should catch it, then against the wide set."""

import queue
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

from tests.mutants.mutant import Mutant
from tests.mutants.tree import Outcome, Run, Tree

WIDE = (
    "tests/unit/core",
    "tests/unit/infra",
    "tests/unit/conversion_worker",
    "tests/unit/file_service",
    "tests/unit/model",
)
"""All tests without servers of the code that mutants change. `tests/unit/mutants` must not be among them."""


class Judgement(StrEnum):
    """How a trial ends; only the first two are good."""

    CAUGHT = "caught"
    CAUGHT_BY_HANGING = "caught (hangs)"
    SURVIVED = "SURVIVED"
    DOES_NOT_APPLY = "DOES NOT APPLY"
    NOT_JUDGED = "NOT JUDGED"


Answer = TypeVar("Answer")
GOOD = {Judgement.CAUGHT, Judgement.CAUGHT_BY_HANGING}


class Verdict(msgspec.Struct, frozen=True):
    """What became of one mutant; `detail` is the test that caught it, or the reason."""

    mutant: Mutant
    judgement: Judgement
    detail: str = ""

    @property
    def is_good(self) -> bool:
        return self.judgement in GOOD


class Trial:
    """Tries mutants in copies of the repository, one copy per process."""

    def __init__(self, root: Path, *, processes: int, timeout_s: float, wide: Sequence[str] = WIDE) -> None:
        """`timeout_s` limits each run of tests."""
        self._root = root
        self._processes = processes
        self._timeout_s = timeout_s
        self._wide = wide
        self._copies: list[Tree] = []
        self._trees: queue.SimpleQueue[Tree] = queue.SimpleQueue()

    @contextmanager
    def ready(self) -> Iterator["Trial"]:
        """Make the copies, and remove them at the end."""
        with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ExitStack() as copies:
            for number in range(self._processes):
                tree = Tree(self._root, Path(folder) / str(number), timeout_s=self._timeout_s)
                self._copies.append(copies.enter_context(tree))
                self._trees.put(tree)
            yield self

    def test_unchanged(self) -> Run:
        """Run the wide set without a fault: unless it passes, no verdict means anything."""
        return self._in_a_tree(lambda tree: tree.test(self._wide))

    def judge_all(self, mutants: Sequence[Mutant], report: Callable[[Verdict], None]) -> list[Verdict]:
        """Try all mutants; `report` is called with each verdict as it comes, the result is in the given order."""
        with ThreadPoolExecutor(self._processes) as pool:
            try:
                return list(pool.map(lambda mutant: self._judge_and_report(mutant, report), mutants))
            except BaseException:  # Ctrl-C: runs have sessions of their own, so the terminal does not end them
                pool.shutdown(wait=False, cancel_futures=True)
                for tree in self._copies:
                    tree.stop()
                raise

    def _judge_and_report(self, mutant: Mutant, report: Callable[[Verdict], None]) -> Verdict:
        verdict = self._in_a_tree(lambda tree: self._judge(mutant, tree))
        report(verdict)
        return verdict

    def _judge(self, mutant: Mutant, tree: Tree) -> Verdict:
        if fault := mutant.fault_of(tree.folder):
            return Verdict(mutant, Judgement.DOES_NOT_APPLY, fault)
        for tests in (mutant.tests, self._wide):
            run = tree.test_with(mutant, tests)
            if run.outcome is not Outcome.PASSED:
                return _verdict(mutant, run)
        return Verdict(mutant, Judgement.SURVIVED, mutant.harm)

    def _in_a_tree(self, work: Callable[[Tree], Answer]) -> Answer:
        tree = self._trees.get()
        try:
            return work(tree)
        finally:
            self._trees.put(tree)


def _verdict(mutant: Mutant, run: Run) -> Verdict:
    if run.outcome is Outcome.FAILED:
        return Verdict(mutant, Judgement.CAUGHT, run.detail)
    if run.outcome is Outcome.HUNG and mutant.may_hang:
        return Verdict(mutant, Judgement.CAUGHT_BY_HANGING, run.detail)
    return Verdict(mutant, Judgement.NOT_JUDGED, run.detail)
