"""What has to hold when all faults are over: clients get their answers, and housekeeping leaves nothing behind."""

from converto_core.conversion.record import Status
from converto_core.errors import RequestInFlight
from file_service.http.idempotency import STALE_AFTER_MS
from tests.unit.model.checks.leftovers import leftovers, remains
from tests.unit.model.cluster import Cluster
from tests.unit.model.settings import settings

LIVES, LIFE_S = 2, 24 * 3600.0 + 100.0  # longer than anything is kept; a record starts when its result is removed


def ask_again(cluster: Cluster) -> None:
    """Every client repeats its request at both file services, and uploads what had not been accepted before.

    Fails when a key stays reserved.
    """
    known = {record.id for record in cluster.records}
    for api in cluster.apis:
        cluster.let_pass(STALE_AFTER_MS / 1000)
        for creation in cluster.facts.creations:
            cluster.create_again(creation, api=api)
        cluster.settle()
    for record in cluster.records:
        if record.id not in known and record.status is Status.AWAITING_UPLOAD:
            cluster.upload(record, cluster.facts.wanted[record.file_id])
            cluster.confirm(record)
    cluster.settle()
    reserved = [one.key for one in cluster.facts.creations if isinstance(one.last_refusal, RequestInFlight)]
    assert not reserved, f"reserved for ever: {reserved}"


def tidy_up(cluster: Cluster) -> None:
    """Check that housekeeping leaves nothing behind but what is still needed, and in the end nothing at all."""
    before_ms = cluster.servers.now_ms()
    cluster.housekeepers.pop().kill()  # one is enough from here on
    cluster.loop.jump(settings().orphan_age_s + 1)
    cluster.sweep()
    wrong = leftovers(cluster.stores, cluster.objects, before_ms=before_ms)
    assert not wrong, "\n".join(wrong)
    for _ in range(LIVES):
        cluster.loop.jump(LIFE_S)
        cluster.sweep()
    left = remains(cluster.stores, cluster.objects)
    assert not left, "\n".join(left)
    cluster.check()
