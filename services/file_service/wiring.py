"""All that routes and housekeeping work with, built from settings and the ports. It knows no web framework."""

from typing import Protocol

import msgspec

from converto_core.ports.bus import EventBus
from converto_core.ports.dead_letters import DeadLetterStore
from converto_core.ports.objects import ObjectStore
from converto_core.ports.stores import AccessStore, CacheStore, ConversionStore, FileStore, HistoryStore, WorkerStore
from converto_infra.settings import Settings
from file_service.conversions.offers import Offers
from file_service.conversions.pending_limit import PendingLimit
from file_service.conversions.plans import Plans
from file_service.conversions.records import Records
from file_service.conversions.result_cache import ResultCache
from file_service.conversions.submission import Conversions
from file_service.dead_letters.administration import DeadLetters
from file_service.delivery.dispatch import Dispatch
from file_service.delivery.live_events import Notifications
from file_service.health import HealthCheck
from file_service.http.authentication import KeyRing
from file_service.http.idempotency import Idempotency
from file_service.http.requests import PREFIX
from file_service.http.views import Views
from file_service.uploads.files import Files, UploadLimits


class Stores(Protocol):
    """The stores of one database."""

    @property
    def conversions(self) -> ConversionStore: ...
    @property
    def history(self) -> HistoryStore: ...
    @property
    def files(self) -> FileStore: ...
    @property
    def cache(self) -> CacheStore: ...
    @property
    def workers(self) -> WorkerStore: ...
    @property
    def access(self) -> AccessStore: ...
    @property
    def dead_letters(self) -> DeadLetterStore: ...
    async def identity(self) -> str:
        """An id that the database gave itself and keeps."""

    async def ping(self) -> None:
        """Raise unless the database answers."""

    async def ensure_indexes(self) -> None:
        """Create the indexes that are missing."""


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the routes work with."""

    settings: Settings
    views: Views
    keys: KeyRing
    once: Idempotency
    offers: Offers
    files: Files
    earlier: ResultCache
    dispatch: Dispatch
    records: Records
    conversions: Conversions
    plans: Plans
    parked: DeadLetters
    notifications: Notifications
    doctor: HealthCheck


def build_wiring(settings: Settings, stores: Stores, objects: ObjectStore, bus: EventBus) -> Wiring:
    """Build everything the routes need from the four ports."""
    limits = UploadLimits(
        max_file_bytes=settings.max_file_bytes,
        multipart_threshold_bytes=settings.multipart_threshold_bytes,
        part_size_bytes=settings.part_size_bytes,
    )
    offers = Offers(stores.workers, ttl_s=settings.offers_ttl_s)
    files = Files(stores.files, objects, limits)
    dispatch = Dispatch(
        stores.conversions,
        bus,
        republish_after_s=settings.republish_after_s,
        republish_max_s=settings.republish_max_s,
    )
    earlier = ResultCache(
        stores.cache, conversions=stores.conversions, objects=objects, offers=offers, settings=settings
    )
    records = Records(stores.conversions, stores.history, objects, files, dispatch)
    return Wiring(
        settings=settings,
        views=Views(
            base=(settings.public_url or "").rstrip("/") + PREFIX, retention_ms=int(settings.result_retention_s * 1000)
        ),
        keys=KeyRing(stores.access),
        once=Idempotency(stores.access, ttl_s=settings.idempotency_ttl_s),
        offers=offers,
        files=files,
        earlier=earlier,
        dispatch=dispatch,
        records=records,
        conversions=Conversions(
            stores.conversions,
            records=records,
            files=files,
            offers=offers,
            earlier=earlier,
            dispatch=dispatch,
            pending=PendingLimit(stores.conversions, most=settings.max_pending_per_owner),
        ),
        plans=Plans(stores.conversions, files=files, offers=offers),
        parked=DeadLetters(stores.dead_letters, stores.conversions, dispatch),
        notifications=Notifications(stores.conversions, bus, poll_s=settings.sse_poll_s, ping_s=settings.sse_ping_s),
        doctor=HealthCheck({"database": stores.ping, "broker": bus.ping, "object_store": objects.ping}, offers),
    )
