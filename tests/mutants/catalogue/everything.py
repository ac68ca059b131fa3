"""The list of all mutants."""

from tests.mutants.catalogue.clocks import CLOCKS
from tests.mutants.catalogue.delivery import DELIVERY
from tests.mutants.catalogue.guard import GUARD
from tests.mutants.catalogue.housekeeping import HOUSEKEEPING
from tests.mutants.catalogue.passwords import PASSWORDS
from tests.mutants.catalogue.results import RESULTS
from tests.mutants.catalogue.states import STATES
from tests.mutants.catalogue.worker import WORKER

MUTANTS = (*STATES, *WORKER, *HOUSEKEEPING, *DELIVERY, *RESULTS, *CLOCKS, *GUARD, *PASSWORDS)
