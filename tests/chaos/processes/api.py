"""`python -m tests.chaos.processes.api`: the real file service with crash points."""

import sys

import msgspec

from converto_infra.settings import Settings
from file_service.__main__ import Servers, main
from tests.chaos.processes.clock import follow_steps
from tests.chaos.processes.ports import CrashingBus, CrashingStores
from tests.chaos.processes.worker import crash_points_here


def connect(settings: Settings) -> Servers:
    """The real servers, with crash points around the ports."""
    crash_points, journal = crash_points_here()
    real = Servers.connect(settings)
    stores, bus = CrashingStores(real.stores, crash_points, journal), CrashingBus(real.bus, crash_points)
    return msgspec.structs.replace(real, stores=stores, bus=bus)


if __name__ == "__main__":
    follow_steps()
    sys.exit(main([], connect=connect))
