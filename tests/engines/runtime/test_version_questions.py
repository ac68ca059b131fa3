"""A program that does not answer is not taken for missing, whichever converter asks it (behaviour M15)."""

import errno
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from converto_core.errors import (
    EngineCrashed,
    EngineMissing,
    EngineNotAnswering,
    EngineTimeout,
    LimitExceeded,
)
from converto_engines.converter import Converter, Limits, ask
from converto_engines.installed import build_converters
from converto_engines.office.warm_office import WarmOffice
from converto_engines.runtime.process import ChildProcess, NotConfined, ProcessResult, Sandbox

NAMES = [converter.name for converter in build_converters(Sandbox("off"))]
WITHOUT_PROGRAM = {"page-text", "markdown", "book", "csv-json", "json-csv", "srt-vtt", "vtt-srt"}
"""Converters whose version is that of a Python package or of Python itself: no program is asked."""


class ScriptedSandbox(Sandbox):
    """A sandbox in which each program ends as scripted."""

    def __init__(self, name: str = "off") -> None:
        super().__init__(name)
        self.outcome: Callable[[], ProcessResult] = lambda: ProcessResult(1, b"", "no", 0.1)

    async def run(self, argv: Sequence[str], **_how: Any) -> ProcessResult:
        return self.outcome()

    async def start(
        self,
        argv: Sequence[str],
        *,
        folder: Path,
        limits: Limits,
        readable: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> ChildProcess:
        self.outcome()
        raise EngineCrashed(detail="ended at once")


def raising(error: Exception) -> Callable[[], ProcessResult]:
    def outcome() -> ProcessResult:
        raise error

    return outcome


def converter_named(name: str, sandbox: Sandbox) -> Converter:
    return next(converter for converter in build_converters(sandbox) if converter.name == name)


FAILURES: dict[str, Callable[[], ProcessResult]] = {
    "timeout": raising(EngineTimeout()),
    "killed": raising(EngineCrashed(detail="ended by signal 9")),
    "limit": raising(LimitExceeded()),
    "sandbox": raising(NotConfined(detail="bwrap: Creating new namespace failed: Resource temporarily unavailable")),
    "fork": raising(BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")),
    "exit status": lambda: ProcessResult(1, b"", "cannot allocate memory", 0.1),
    "no words": lambda: ProcessResult(0, b"", "", 0.1),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("name", NAMES)
async def test_failed_question_is_never_an_absence(name: str, failure: Callable[[], ProcessResult]) -> None:
    box = ScriptedSandbox()
    box.outcome = failure
    converter = converter_named(name, box)

    if name in WITHOUT_PROGRAM:
        assert await ask(converter) is not None
        return
    with pytest.raises(EngineNotAnswering) as silence:
        await ask(converter)

    assert silence.value.public_message


@pytest.mark.parametrize("name", sorted(set(NAMES) - WITHOUT_PROGRAM))
async def test_missing_program_is_an_absence(name: str) -> None:
    box = ScriptedSandbox()
    box.outcome = raising(EngineMissing())

    assert await ask(converter_named(name, box)) is None


async def test_python_without_uno_means_not_installed() -> None:
    office = WarmOffice(Sandbox("off"), python=sys.executable)

    assert await office.version() is None


async def test_program_that_hangs_is_stopped_and_does_not_answer(sandbox: Sandbox, tmp_path: Path) -> None:
    class Hanging(type(converter_named("csv-json", sandbox))):  # type: ignore[misc]
        async def version(self) -> str | None:
            limits = Limits(wall_s=0.3, cpu_s=5, memory_bytes=1024**3, file_bytes=1024**2)
            await sandbox.run(["sleep", "60"], folder=tmp_path, limits=limits)
            return "never"

    with pytest.raises(EngineNotAnswering, match="no answer within"):
        await ask(Hanging(sandbox))


async def test_converters_of_one_office_share_a_question() -> None:
    asked = []
    box = ScriptedSandbox()

    def outcome() -> ProcessResult:
        asked.append(1)
        return ProcessResult(0, b"7.4.7.2\n", "", 0.1)

    box.outcome = outcome
    office = WarmOffice(box)

    assert await office.version() == await office.version() == "7.4.7.2"
    assert len(asked) == 1


@pytest.mark.parametrize("error", [EngineTimeout(), LimitExceeded(), BlockingIOError(errno.EAGAIN, "fork")])
async def test_slow_sandbox_test_never_chooses_a_weaker_mode(error: Exception) -> None:
    class Slow(ScriptedSandbox):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            self.outcome = raising(error) if name == "bubblewrap" else lambda: ProcessResult(0, b"", "", 0.1)

    with pytest.raises(EngineNotAnswering, match="bubblewrap"):
        await Slow.choose("auto")


@pytest.mark.parametrize("error", [EngineMissing(), NotConfined(detail="bwrap: No permissions")])
async def test_machine_without_namespaces_gets_the_system_call_filter(error: Exception) -> None:
    class WithoutNamespaces(ScriptedSandbox):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            works = ProcessResult(0 if name == "seccomp" else 1, b"", "", 0.1)
            self.outcome = raising(error) if name == "bubblewrap" else lambda: works

    assert (await WithoutNamespaces.choose("auto")).name == "seccomp"
