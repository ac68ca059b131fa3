"""In which order a slot looks at the lanes; an order for each look, one after the other. It knows no broker."""

from collections.abc import Sequence

from converto_core.conversion.record import Lane

_ORDINARY = (Lane.HIGH, Lane.NORMAL, Lane.BULK)


def lane_orders(*, quarantine: bool) -> Sequence[Sequence[Lane]]:
    """Strict lanes. Suspects come before ordinary work at every second look: neither of them waits for ever."""
    if not quarantine:
        return (_ORDINARY,)
    return (*_ORDINARY, Lane.QUARANTINE), (Lane.HIGH, Lane.QUARANTINE, Lane.NORMAL, Lane.BULK)
