"""The trial of mutants, on a repository of one function."""

from pathlib import Path

import msgspec
import pytest

from tests.mutants.__main__ import summarize
from tests.mutants.mutant import Mutant
from tests.mutants.tree import Outcome, Tree
from tests.mutants.trial import Judgement, Trial, Verdict

CODE = """
def price(count):
    if count < 0:
        raise ValueError(count)
    return 10 * count


def discount(count):
    return 5 if count > 9 else 0
"""
NARROW = """
import subprocess
from pathlib import Path

from shop import price

def test_price_of_three():
    if price(1) == 0:
        Path("pid").write_text(str(subprocess.Popen(["sleep", "600"]).pid))
        while True:
            pass
    assert price(3) == 30
"""
WIDE = """
import pytest

from shop import price

def test_negative_count_is_refused():
    with pytest.raises(ValueError):
        price(-1)
"""
PROJECT = """
[tool.pytest.ini_options]
addopts = ["--import-mode=importlib", "-ra"]
pythonpath = ["libs"]
"""
TIMEOUT_S = 60.0
HANGS_S = 10.0  # long enough for pytest to start on a busy machine


def a_mutant(name: str, old: str, new: str, *, test: str = "tests/test_narrow.py") -> Mutant:
    return Mutant(name=name, file="libs/shop.py", old=old, new=new, harm="wrong bills", tests=(test,))


MUTANTS = (
    a_mutant("too dear", "10 * count", "11 * count"),
    a_mutant("too dear again", "10 * count", "12 * count"),
    a_mutant("negative", "        raise ValueError(count)\n", "        pass\n"),
    a_mutant("generous", "count > 9", "count > 8"),
    a_mutant("no such text", "20 * count", "30 * count"),
    a_mutant("twice", "count):", "count, more=1):"),
    a_mutant("no Python", "return 10 * count", "return 10 *"),
    a_mutant("no such test", "10 * count", "11 * count", test="tests/test_nothing.py"),
    a_mutant("does not import", "def discount", "price(-1)\n\n\ndef discount"),
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    for folder in ("libs", "services", "deploy", "tests/wide"):
        (root / folder).mkdir(parents=True)
    (root / "libs/shop.py").write_text(CODE)
    (root / "tests/test_narrow.py").write_text(NARROW)
    (root / "tests/wide/test_wide.py").write_text(WIDE)
    (root / "pyproject.toml").write_text(PROJECT)
    return root


@pytest.fixture(scope="module")
def verdicts(repository: Path) -> dict[str, Verdict]:
    with Trial(repository, processes=2, timeout_s=TIMEOUT_S, wide=("tests/wide",)).ready() as trial:
        assert trial.test_unchanged().outcome is Outcome.PASSED
        return {verdict.mutant.name: verdict for verdict in trial.judge_all(MUTANTS, lambda verdict: None)}


@pytest.mark.parametrize("name", ["too dear", "too dear again"])
def test_caught_mutant_names_its_test(verdicts: dict[str, Verdict], name: str) -> None:
    """The second one differs by one digit: a compiled file of the first must not be taken for it."""
    assert verdicts[name].judgement is Judgement.CAUGHT
    assert verdicts[name].detail == "tests/test_narrow.py::test_price_of_three"


def test_wide_set_catches_what_the_first_tests_miss(verdicts: dict[str, Verdict]) -> None:
    assert verdicts["negative"].judgement is Judgement.CAUGHT
    assert verdicts["negative"].detail == "tests/wide/test_wide.py::test_negative_count_is_refused"


def test_survivor_says_what_it_would_do_to_users(verdicts: dict[str, Verdict]) -> None:
    assert (verdicts["generous"].judgement, verdicts["generous"].detail) == (Judgement.SURVIVED, "wrong bills")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no such text", "occurs 0 times"),
        ("twice", "occurs 2 times"),
        ("no Python", "is not Python"),
        ("no such test", "there is no test tests/test_nothing.py"),
    ],
)
def test_mutant_that_does_not_apply_says_why(verdicts: dict[str, Verdict], name: str, reason: str) -> None:
    assert verdicts[name].judgement is Judgement.DOES_NOT_APPLY
    assert reason in verdicts[name].detail


def test_code_that_cannot_be_imported_is_not_judged(verdicts: dict[str, Verdict]) -> None:
    """Nothing was tested, so nothing was caught."""
    assert verdicts["does not import"].judgement is Judgement.NOT_JUDGED


def test_repository_is_left_alone(verdicts: dict[str, Verdict], repository: Path) -> None:
    assert verdicts
    assert (repository / "libs/shop.py").read_text() == CODE
    assert not (repository / "pid").exists()


ENDLESS = a_mutant("endless", "10 * count", "0 * count")


@pytest.mark.parametrize(
    ("may_hang", "judgement"), [(True, Judgement.CAUGHT_BY_HANGING), (False, Judgement.NOT_JUDGED)]
)
def test_hanging_counts_only_if_the_mutant_says_so(repository: Path, may_hang: bool, judgement: Judgement) -> None:
    mutant = msgspec.structs.replace(ENDLESS, may_hang=may_hang)
    with Trial(repository, processes=1, timeout_s=1.0, wide=("tests/wide",)).ready() as trial:
        (verdict,) = trial.judge_all([mutant], lambda verdict: None)

    assert verdict.judgement is judgement


def test_run_that_hangs_is_killed_with_its_children(repository: Path, tmp_path: Path) -> None:
    with Tree(repository, tmp_path / "copy", timeout_s=HANGS_S) as tree:
        run = tree.test_with(ENDLESS, ENDLESS.tests)
        pid = int((tree.folder / "pid").read_text())

    assert run.outcome is Outcome.HUNG
    assert not is_running(pid)


def test_interrupted_trial_ends_its_runs(repository: Path) -> None:
    def interrupt(verdict: Verdict) -> None:
        raise KeyboardInterrupt

    trial = Trial(repository, processes=2, timeout_s=3600.0, wide=("tests/wide",))
    with trial.ready(), pytest.raises(KeyboardInterrupt):
        trial.judge_all([MUTANTS[0], ENDLESS], interrupt)


def is_running(pid: int) -> bool:
    """A process that was killed may wait for its parent to notice; it runs no more."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("judgements", "status", "text"),
    [
        ([Judgement.CAUGHT, Judgement.CAUGHT_BY_HANGING], 0, "2 mutants in 3 s: all caught"),
        ([Judgement.CAUGHT, Judgement.SURVIVED], 1, "SURVIVED: any (libs/shop.py)"),
        ([Judgement.DOES_NOT_APPLY], 1, "DOES NOT APPLY: any"),
        ([Judgement.NOT_JUDGED], 1, "NOT JUDGED: any"),
    ],
)
def test_anything_but_caught_fails_the_command(
    judgements: list[Judgement], status: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    mutant = a_mutant("any", "10", "11")

    assert summarize([Verdict(mutant, judgement) for judgement in judgements], took_s=3.2) == status
    assert text in capsys.readouterr().out
