"""The list of mutants stays current: each one still applies to the code, so that refactorings keep it alive."""

from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.catalogue.everything import MUTANTS
from tests.mutants.mutant import Mutant
from tests.mutants.trial import WIDE

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_applies_to_the_code(mutant: Mutant) -> None:
    """Move its text along with the code that you change, or replace the mutant by one of the new code."""
    assert mutant.fault_of(ROOT) is None


def test_names_are_unique() -> None:
    assert [name for name, count in Counter(mutant.name for mutant in MUTANTS).items() if count > 1] == []


def test_mutants_are_not_caught_by_this_file() -> None:
    """A mutant never applies a second time, so the test above would catch every one."""
    assert not any(Path(__file__).is_relative_to(ROOT / tests) for tests in WIDE)
    assert not any("tests/unit/mutants" in tests for mutant in MUTANTS for tests in mutant.tests)
