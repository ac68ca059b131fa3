"""`python -m tests.chaos.processes.worker`: the real worker, with engines that misbehave and points to die at."""

import asyncio
import os
from pathlib import Path

from conversion_worker.app import Servers, WorkerParts, run_worker
from converto_engines.runtime.process import Sandbox
from converto_infra.clock import SystemClock
from converto_infra.settings import Settings, load_settings
from converto_infra.telemetry import configure_logging
from tests.chaos.processes import converter
from tests.chaos.processes.death import Death
from tests.chaos.processes.ports import MortalBus, MortalObjects, MortalStores
from tests.chaos.report.journal import Journal


class SkewedClock(SystemClock):
    """A machine whose wall clock is wrong."""

    def __init__(self, skew_s: float) -> None:
        self._skew_ms = int(skew_s * 1000)

    def now_ms(self) -> int:
        """Milliseconds since the epoch, as this machine believes."""
        return super().now_ms() + self._skew_ms


def death_here() -> tuple[Death, Journal]:
    """The requests and the journal in the folder that the conductor names."""
    folder = Path(os.environ["CHAOS_FOLDER"])
    journal = Journal(folder / "journal")
    return Death(folder / "deaths", journal), journal


def main() -> None:
    """Run until told to stop, or until death comes."""
    settings = load_settings()
    configure_logging(settings, service="conversion_worker")
    death, journal = death_here()

    def connect(settings: Settings) -> Servers:
        real = Servers.connect(settings)
        return Servers(
            stores=MortalStores(real.stores, death, journal),
            objects=MortalObjects(real.objects, death),
            bus=MortalBus(real.bus, death),
        )

    def converters(sandbox: Sandbox, *, scratch: Path | None = None) -> list[converter.Watched]:
        return converter.build(sandbox, scratch, journal=journal, death=death)

    clock = SkewedClock(float(os.environ.get("CHAOS_SKEW_S", "0")))
    asyncio.run(run_worker(settings, WorkerParts(connect=connect, converters=converters, clock=clock)))


if __name__ == "__main__":
    main()
