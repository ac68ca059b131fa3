"""For programs whose libraries print to stdout what they like: the answer keeps a stdout of its own.

It has to be called before the first line is written and before such a library is loaded.
"""

import os
import sys


def keep_for_answers() -> None:
    """Let everything that libraries print go to stderr; only `sys.stdout` of this program still writes to stdout."""
    kept = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(kept, "w", encoding="utf-8")
