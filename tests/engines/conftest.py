"""Fixtures of the engine tests: the sandbox, a canary, and a function that runs a job as the worker does."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from converto_core.errors import EngineMissing
from converto_core.secret import Secret
from converto_engines.converter import Converter, Job, Limits, Product, ignore_note, ignore_report, options_for
from converto_engines.runtime.process import Sandbox
from tests.engines.canary import Canary, listening
from tests.engines.named_options import unknown_options

SHORT = Limits(wall_s=60, cpu_s=60)

RunJob = Callable[..., Awaitable[list[Product]]]


@pytest.fixture(scope="session")
async def sandbox() -> Sandbox:
    """The best sandbox of this machine; without one the engines cannot be tested."""
    try:
        return await Sandbox.choose("auto")
    except EngineMissing as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def run_job(tmp_path: Path) -> RunJob:
    """Copy a source into a private folder, validate the options as the worker does, and convert.

    No note may name an option that the converter does not have.
    """
    return job_runner(tmp_path)


def job_runner(parent: Path) -> RunJob:
    """The function of the fixture `run_job`, whose private folders lie in `parent`."""

    async def run(
        converter: Converter, source: Path, source_format: str, target_format: str, **chosen: Any
    ) -> list[Product]:
        limits, report = chosen.pop("limits", SHORT), chosen.pop("report", ignore_report)
        told, title = chosen.pop("note", ignore_note), chosen.pop("title", "")
        password = chosen.pop("password", None)

        def note(text: str) -> None:
            assert not unknown_options(text, converter), f"{converter.name} names an unknown option: {text}"
            told(text)

        folder = parent / f"job-{len(list(parent.iterdir()))}"
        folder.mkdir()
        own = folder / "source"
        shutil.copyfile(source, own)
        return await converter.convert(
            Job(
                source=own,
                source_format=source_format,
                target_format=target_format,
                folder=folder,
                options=options_for(converter, chosen),
                limits=limits,
                report=report,
                title=title,
                note=note,
                password=None if password is None else Secret(password),
            )
        )

    return run


@pytest.fixture
def canary() -> Iterator[Canary]:
    """A server that nothing may connect to."""
    with listening() as server:
        yield server


async def until(condition: Callable[[], bool], *, deadline_s: float = 20) -> None:
    """Wait until another process makes the condition true."""
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 -- other processes set no event here
            await asyncio.sleep(0.01)
