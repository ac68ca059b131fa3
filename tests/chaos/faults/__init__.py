"""All faults, by component. A fault is one function and one line in the list of its file."""

from tests.chaos.faults import api, broker, clocks, disk, network, objects, servers, workers
from tests.chaos.faults.fault import Fault
from tests.chaos.system import System

__all__ = ["Fault", "faults_for"]


def faults_for(system: System) -> list[Fault]:
    """Return every fault that this machine can inject."""
    services = (*workers.FAULTS, *api.FAULTS, *clocks.FAULTS)
    return [*services, *servers.FAULTS, *network.faults(), *broker.FAULTS, *objects.FAULTS, *disk.faults(system)]
