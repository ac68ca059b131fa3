"""The order in which a worker slot asks the lanes for messages; a new order for each round."""

from collections.abc import Sequence

from converto_core.conversion.record import Lane

_ORDINARY = (Lane.HIGH, Lane.NORMAL, Lane.BULK)


def lane_orders(*, quarantine: bool) -> Sequence[Sequence[Lane]]:
    """Strict priority of lanes. Quarantine comes before ordinary work in every second round, so neither starves."""
    if not quarantine:
        return (_ORDINARY,)
    return (*_ORDINARY, Lane.QUARANTINE), (Lane.HIGH, Lane.QUARANTINE, Lane.NORMAL, Lane.BULK)
