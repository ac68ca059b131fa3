"""All faults, by component. A fault is one function and one line in the list of its file."""

from tests.chaos.faults import api, broker, disk, network, servers, workers
from tests.chaos.faults.fault import Fault
from tests.chaos.site import Site

__all__ = ["Fault", "faults_for"]


def faults_for(site: Site) -> list[Fault]:
    """Every fault that this machine can make."""
    small_disk = disk.FAULTS if site.small_disk is not None else ()
    return [*workers.FAULTS, *api.FAULTS, *servers.FAULTS, *network.faults(), *broker.FAULTS, *small_disk]
