"""Seeds that once found a bug and would find it again.

Adding or removing a fault changes the order of all others for every seed.
"""

import msgspec


class Seed(msgspec.Struct, frozen=True):
    """A number and what it found."""

    number: int
    found: str


SEEDS = (
    Seed(
        1,
        "a worker whose clock was an hour ahead put retries off by that hour (stuck); a file service that lost a reply "
        "kept the idempotency key, so its client was refused for two minutes (never accepted)",
    ),
    Seed(2, "a conversion in the quarantine lane waited for 45 s behind ordinary ones (recovery)"),
    Seed(12, "an engine whose worker was killed just after it had started it ran on for ever (engines left behind)"),
    Seed(
        13,
        "a deadline that hit the database's driver while it held its lock was answered with 500 (errors in the logs)",
    ),
)
