"""`python -m tests.scenarios.slow_worker`: the real worker, whose LibreOffice and ffmpeg hang until a file appears.

`SLOW_UNTIL` names the file. The programs really run, in the real sandbox; only a shell waits before each of them.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conversion_worker.app import WorkerParts, run_worker
from converto_engines.converter import Converter
from converto_engines.installed import build_converters
from converto_engines.runtime.process import ProcessResult, Sandbox
from converto_infra.settings import Settings
from converto_infra.telemetry import configure_logging

HELD = ("ffmpeg", "office.sandboxed.driver")
WAIT = 'while [ ! -e "$0" ]; do sleep 0.05; done; exec "$@"'


class HeldSandbox(Sandbox):
    """Starts ffmpeg and the driver of LibreOffice behind a shell that waits for a file."""

    def __init__(self, name: str, until: Path) -> None:
        super().__init__(name)
        self._until = until

    async def run(self, argv: Sequence[str], *, readable: Sequence[Path] = (), **how: Any) -> ProcessResult:
        """Run a program; a held one begins when the file is there."""
        if set(HELD) & set(argv):
            argv, readable = ["sh", "-c", WAIT, str(self._until), *argv], (*readable, self._until.parent)
        return await super().run(argv, readable=readable, **how)


def main() -> None:
    """Run until stopped."""
    settings = Settings()
    configure_logging(settings, service="conversion_worker")
    until = Path(os.environ["SLOW_UNTIL"])

    def converters(sandbox: Sandbox, *, scratch: Path | None = None) -> list[Converter]:
        return build_converters(HeldSandbox(sandbox.name, until), scratch=scratch)

    asyncio.run(run_worker(settings, WorkerParts(converters=converters, first_look_s=2.0)))


if __name__ == "__main__":
    main()
