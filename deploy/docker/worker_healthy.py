"""Exit status 0 while the worker of this container has told the database lately that it lives; for HEALTHCHECK.

It asks the database rather than the process table: a worker that hangs is a process too.
"""

import asyncio
import socket
import sys
import time

from converto_core.errors import ConvertoError
from converto_infra.mongo.stores import MongoStores
from converto_infra.settings import load_settings

SILENCE_MS = 30_000  # a worker writes its record every five seconds


async def is_healthy() -> bool:
    """True when a worker on this host was seen within the last half minute; the deadline is the database's own."""
    stores = MongoStores.connect(load_settings())
    try:
        seen = await stores.workers.seen_since(int(time.time() * 1000) - SILENCE_MS)
        return any(worker.host == socket.gethostname() for worker in seen)
    finally:
        await stores.close()


def main() -> int:
    """0 when healthy; 1 with a line for `docker inspect` otherwise."""
    try:
        if asyncio.run(is_healthy()):
            return 0
        sys.stdout.write("No worker of this host was seen in the last 30 s.\n")
    except ConvertoError as error:
        sys.stdout.write(f"The database does not say: {error.public_message}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
