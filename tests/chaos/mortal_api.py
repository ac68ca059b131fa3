"""`python -m tests.chaos.mortal_api`: the real file service, with points at which it may die."""

import sys

from converto_infra.settings import Settings
from file_service.__main__ import Servers, connect_servers, main
from tests.chaos.mortal_ports import MortalBus, MortalStores
from tests.chaos.mortal_worker import death_here


def connect(settings: Settings) -> Servers:
    """The real servers, with points of death around them."""
    death, journal = death_here()
    stores, objects, bus = connect_servers(settings)
    return MortalStores(stores, death, journal), objects, MortalBus(bus, death)


if __name__ == "__main__":
    sys.exit(main([], connect=connect))
