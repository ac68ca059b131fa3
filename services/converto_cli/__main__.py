"""Process entry of the command line."""

import os
import sys
from collections.abc import Sequence

from cyclopts import CycloptsError

from converto_cli.app import build_app
from converto_cli.terminal.exit_codes import FAILURE, INTERRUPTED, OK, USAGE


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        answer = build_app()(list(arguments), exit_on_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError:
        return USAGE  # cyclopts has printed the error and a suggestion
    except KeyboardInterrupt:
        sys.stderr.write(
            "\nStopped. Accepted conversions continue on the server; run the same command again to resume.\n"
        )
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the pipe is gone (`| head`); without this, Python reports an error when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    return answer if isinstance(answer, int) else OK


if __name__ == "__main__":
    sys.exit(main())
