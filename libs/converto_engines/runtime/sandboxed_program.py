"""Runs one of our own programs of `inside/` in the sandbox: a request in, progress on the way, an answer out.

It knows no converter; `inside/answering.py` is the other end.
"""

import functools
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from converto_core.errors import EngineMissing
from converto_engines.converter import Limits, Report, ignore_report
from converto_engines.runtime import answers, interpreter, progress_lines
from converto_engines.runtime.process import Child, Sandbox

_ASK_LIMITS = Limits(wall_s=30, cpu_s=20, memory_bytes=1024**3, file_bytes=16 * 1024**2)


class SandboxedProgram:
    """One program of `inside/` with the installed Python packages that it needs; starts a fresh process per request."""

    def __init__(
        self,
        sandbox: Sandbox,
        name: str,
        *,
        modules: Sequence[str] = (),
        readable: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`name` is the file in `inside/`; `modules` are Python packages of ours, `readable` more that it may see."""
        self._sandbox, self._name, self._modules = sandbox, name, tuple(modules)
        self._readable, self._environment = tuple(readable), dict(environment or {})

    @property
    def is_installed(self) -> bool:
        """Whether its Python packages are there."""
        return interpreter.packages_with(*self._modules) is not None

    async def run(
        self, request: Mapping[str, Any], *, folder: Path, limits: Limits, report: Report = ignore_report
    ) -> dict[str, Any]:
        """The answer to one request; paths in it must be named as the sandbox sees them.

        Raises what the program refuses with (`answers.py`), or what ends it (`Sandbox.run`).
        """
        packages = self._packages()
        whole = json.dumps({**request, "packages": [str(path) for path in packages]})
        finished = await self._sandbox.run(
            [*interpreter.program(self._name), whole],
            folder=folder,
            limits=limits,
            readable=self._visible(packages),
            environment=self._environment,
            on_line=functools.partial(progress_lines.pass_on, report=report),
        )
        return answers.last_line(finished)

    async def ask(self, **more: Any) -> dict[str, Any] | None:
        """What it says of itself (the request `{"ask": "able", …}`); None when something it needs is missing."""
        with tempfile.TemporaryDirectory(prefix="converto-") as folder:
            try:
                return await self.run({"ask": "able", **more}, folder=Path(folder), limits=_ASK_LIMITS)
            except EngineMissing:
                return None

    async def start(self, folder: Path, limits: Limits) -> Child:
        """A process that waits for its request on stdin (`serve_line`); its packages are its arguments."""
        packages = self._packages()
        return await self._sandbox.start(
            [*interpreter.program(self._name), *map(str, packages)],
            folder=folder,
            limits=limits,
            readable=self._visible(packages),
            environment=self._environment,
        )

    async def ask_waiting(self, limits: Limits, *, files: Sequence[str] = ()) -> dict[str, Any] | None:
        """Like `ask`, of a program that takes its request on stdin; each of `files` names a path it may write to."""
        with tempfile.TemporaryDirectory(prefix="converto-") as name:
            folder = Path(name)
            paths = {file: self._sandbox.inside(folder, folder / file) for file in files}
            try:
                child = await self.start(folder, limits)
            except EngineMissing:
                return None
            try:
                answer = await child.ask({"ask": "able", **paths}, timeout_s=limits.wall_s)
                return answers.done(answer, child.stderr_tail)
            except EngineMissing:
                return None
            finally:
                await child.stop()

    def _packages(self) -> tuple[Path, ...]:
        packages = interpreter.packages_with(*self._modules)
        if packages is None:
            raise EngineMissing(f"One of {', '.join(self._modules)} is not installed on this worker")
        return packages

    def _visible(self, packages: tuple[Path, ...]) -> tuple[Path, ...]:
        return (*interpreter.readable_folders(), *packages, *self._readable)
