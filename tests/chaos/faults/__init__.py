"""All faults, by component. A fault is one function and one line in the list of its file."""

from tests.chaos.faults import api, broker, disk, network, servers, workers
from tests.chaos.faults.fault import Fault
from tests.chaos.system import System

__all__ = ["Fault", "faults_for"]


def faults_for(system: System) -> list[Fault]:
    """Return every fault that this machine can inject."""
    small_disk = disk.FAULTS if system.small_disk is not None else ()
    return [*workers.FAULTS, *api.FAULTS, *servers.FAULTS, *network.faults(), *broker.FAULTS, *small_disk]
