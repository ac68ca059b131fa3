"""`python -m tests.chaos.processes.api`: the real file service, with points at which it may die."""

import sys

import msgspec

from converto_infra.settings import Settings
from file_service.__main__ import Servers, main
from tests.chaos.processes.ports import MortalBus, MortalStores
from tests.chaos.processes.worker import death_here


def connect(settings: Settings) -> Servers:
    """The real servers, with points of death around them."""
    death, journal = death_here()
    real = Servers.connect(settings)
    stores, bus = MortalStores(real.stores, death, journal), MortalBus(real.bus, death)
    return msgspec.structs.replace(real, stores=stores, bus=bus)


if __name__ == "__main__":
    sys.exit(main([], connect=connect))
