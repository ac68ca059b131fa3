"""`python -m tests.chaos.processes.worker`: the real worker with misbehaving engines and crash points."""

import asyncio
import os
from pathlib import Path

from conversion_worker.app import Servers, WorkerParts, run_worker
from converto_engines.runtime.process import Sandbox
from converto_infra.clock import Clock
from converto_infra.settings import Settings
from converto_infra.telemetry import configure_logging
from tests.chaos.processes import converter
from tests.chaos.processes.crash_points import CrashPoints
from tests.chaos.processes.ports import CrashingBus, CrashingObjects, CrashingStores
from tests.chaos.report.journal import Journal


class SkewedClock(Clock):
    """The clocks of a machine whose wall clock is wrong."""

    def __init__(self, skew_s: float) -> None:
        self._skew_ms = int(skew_s * 1000)

    def now_ms(self) -> int:
        """Return the wrong wall clock in milliseconds since the epoch."""
        return super().now_ms() + self._skew_ms


def crash_points_here() -> tuple[CrashPoints, Journal]:
    """Return crash points and journal of the folder in `CHAOS_FOLDER`."""
    folder = Path(os.environ["CHAOS_FOLDER"])
    journal = Journal(folder / "journal")
    return CrashPoints(folder / "crashes", journal), journal


def main() -> None:
    """Run until stopped or crashed."""
    settings = Settings()
    configure_logging(settings, service="conversion_worker")
    crash_points, journal = crash_points_here()

    def connect(settings: Settings) -> Servers:
        real = Servers.connect(settings)
        return Servers(
            stores=CrashingStores(real.stores, crash_points, journal),
            objects=CrashingObjects(real.objects, crash_points),
            bus=CrashingBus(real.bus, crash_points),
        )

    def converters(sandbox: Sandbox, *, scratch: Path | None = None) -> list[converter.Watched]:
        return converter.build(sandbox, scratch, journal=journal, crash_points=crash_points)

    clock = SkewedClock(float(os.environ.get("CHAOS_SKEW_S", "0")))
    asyncio.run(run_worker(settings, WorkerParts(connect=connect, converters=converters, clock=clock)))


if __name__ == "__main__":
    main()
