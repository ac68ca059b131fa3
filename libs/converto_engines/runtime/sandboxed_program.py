"""Runs one of our programs from a `sandboxed/` package: sends it a request, forwards progress, returns its result.

`sandboxed/protocol.py` is the other end.
"""

import functools
import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from converto_core.errors import EngineMissing
from converto_engines.converter import ANSWER_WITHIN_S, Limits, Report, ignore_report
from converto_engines.runtime import interpreter, progress_lines, responses
from converto_engines.runtime.process import ChildProcess, Sandbox

_PROBE_LIMITS = Limits(wall_s=ANSWER_WITHIN_S, cpu_s=20, memory_bytes=1024**3, file_bytes=16 * 1024**2)


class SandboxedProgram:
    """One program and the installed Python packages that it needs; every request gets a fresh process."""

    def __init__(
        self,
        sandbox: Sandbox,
        module: str,
        *,
        packages: Sequence[str] = (),
        readable: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`module` is relative to `converto_engines`; `packages` are import names; `readable` are further paths."""
        self._sandbox, self._module, self._package_names = sandbox, module, tuple(packages)
        self._readable, self._environment = tuple(readable), dict(environment or {})

    @property
    def is_installed(self) -> bool:
        """Whether its Python packages are installed."""
        return interpreter.package_folders(*self._package_names) is not None

    async def run(
        self, request: Mapping[str, Any], *, folder: Path, limits: Limits, report: Report = ignore_report
    ) -> dict[str, Any]:
        """Return the result of one request; paths in it must be those of `Sandbox.path_inside`.

        Raises the error of a refusal (`responses.py`) and whatever `Sandbox.run` raises.
        """
        packages = self._packages()
        argument = json.dumps({**request, "packages": [str(path) for path in packages]})
        run = await self._sandbox.run(
            [*interpreter.argv(self._module), argument],
            folder=folder,
            limits=limits,
            readable=self._visible(packages),
            environment=self._environment,
            on_line=functools.partial(progress_lines.forward, report=report),
        )
        return responses.result_of_run(run)

    async def start(self, folder: Path, limits: Limits) -> ChildProcess:
        """Start a process that waits for its request on stdin (`serve_stdin`); its arguments are its packages."""
        packages = self._packages()
        return await self._sandbox.start(
            [*interpreter.argv(self._module), *map(str, packages)],
            folder=folder,
            limits=limits,
            readable=self._visible(packages),
            environment=self._environment,
        )

    async def probe(self, **parameters: Any) -> dict[str, Any] | None:
        """Return what the program reports about itself (`{"ask": "able", …}`), None when something is missing."""
        with tempfile.TemporaryDirectory(prefix="converto-") as folder, suppress(EngineMissing):
            return await self.run({"ask": "able", **parameters}, folder=Path(folder), limits=_PROBE_LIMITS)
        return None

    async def probe_over_stdin(self, limits: Limits, *, files: Sequence[str] = ()) -> dict[str, Any] | None:
        """Like `probe` for a program that reads its request from stdin; `files` are sent as paths it may write to."""
        with tempfile.TemporaryDirectory(prefix="converto-") as name, suppress(EngineMissing):
            folder = Path(name)
            paths = {file: self._sandbox.path_inside(folder, folder / file) for file in files}
            child = await self.start(folder, limits)
            try:
                response = await child.request({"ask": "able", **paths}, timeout_s=limits.wall_s)
                return responses.result_of(response, child.stderr_tail)
            finally:
                await child.stop()
        return None

    def _packages(self) -> tuple[Path, ...]:
        packages = interpreter.package_folders(*self._package_names)
        if packages is None:
            names = ", ".join(self._package_names)
            raise EngineMissing(f"One of the Python packages {names} is not installed on this worker")
        return packages

    def _visible(self, packages: tuple[Path, ...]) -> tuple[Path, ...]:
        return (*interpreter.readable_folders(), *packages, *self._readable)
