"""`python -m tests.chaos.processes.housekeeping`: the real housekeeping with a clock that a fault can set."""

import sys

from file_service.housekeeping.__main__ import main
from tests.chaos.processes.clock import follow_steps

if __name__ == "__main__":
    follow_steps()
    sys.exit(main([]))
