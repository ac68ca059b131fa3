"""HEALTHCHECK: exit status 0 while the worker of this container has a recent heartbeat in the database.

The process table would not show whether the worker hangs.
"""

import asyncio
import socket
import sys
import time

from converto_core.errors import ConvertoError
from converto_infra.mongo.stores import MongoStores
from converto_infra.settings import Settings

SILENCE_MS = 30_000  # a worker updates its record every five seconds


async def is_healthy() -> bool:
    """Whether a worker on this host had a heartbeat in the last 30 s; the database adapter sets the deadline."""
    stores = MongoStores.connect(Settings())
    try:
        seen = await stores.workers.seen_since(int(time.time() * 1000) - SILENCE_MS)
        return any(worker.host == socket.gethostname() for worker in seen)
    finally:
        await stores.close()


def main() -> int:
    """0 when healthy; otherwise 1 and a line for `docker inspect`."""
    try:
        if asyncio.run(is_healthy()):
            return 0
        sys.stdout.write("No heartbeat from a worker on this host in the last 30 s.\n")
    except ConvertoError as error:
        sys.stdout.write(f"The database cannot be queried: {error.public_message}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
