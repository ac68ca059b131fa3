"""Builds the use cases for routes and housekeeping from settings and the ports."""

import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from converto_core import ids
from converto_core.files.look_schedule import LookSchedule
from converto_core.ports.bus import EventBus
from converto_core.ports.dead_letters import DeadLetterStore
from converto_core.ports.issuer import Issuer
from converto_core.ports.objects import ObjectStore
from converto_core.ports.stores import AccessStore, CacheStore, ConversionStore, FileStore, HistoryStore, WorkerStore
from converto_infra.oidc.access_tokens import AccessTokens
from converto_infra.oidc.key_cache import KeyCache
from converto_infra.sealing.seals import Seals
from converto_infra.settings import Settings
from file_service.conversions.conversion_objects import ConversionDeletion, ConversionObjects
from file_service.conversions.offers import Offers
from file_service.conversions.output_check import OutputCheck
from file_service.conversions.passwords import Passwords
from file_service.conversions.pending_limit import PendingLimit
from file_service.conversions.plans import Plans
from file_service.conversions.records import Records
from file_service.conversions.result_cache import ResultCache
from file_service.conversions.starter import Starter
from file_service.conversions.submission import Submission
from file_service.dead_letters.administration import DeadLetters
from file_service.delivery.dispatch import Dispatch
from file_service.delivery.live_events import LiveEvents
from file_service.delivery.sender import Sender
from file_service.health import HealthCheck
from file_service.http.authentication import KeyRing
from file_service.http.bearer_tokens import BearerTokens
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
    @property
    def faults(self) -> tuple[str, ...]:
        """Why the client is being renewed, if it is, and which records cannot be read."""

    async def identity(self) -> str:
        """Return the id that the database was given when it was first used."""

    async def ping(self) -> None:
        """Raise `StoreUnavailable` unless the database answers."""

    async def ensure_indexes(self) -> None:
        """Create missing indexes."""


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """The use cases; each field is available to route handlers as a dependency of the same name."""

    settings: Settings
    views: Views
    keys: KeyRing
    issuer_keys: KeyCache | None
    tokens: BearerTokens | None
    idempotency: Idempotency
    offers: Offers
    files: Files
    result_cache: ResultCache
    dispatch: Dispatch
    records: Records
    starter: Starter
    submission: Submission
    passwords: Passwords
    plans: Plans
    dead_letters: DeadLetters
    live_events: LiveEvents
    health: HealthCheck


def build_wiring(
    settings: Settings,
    stores: Stores,
    objects: ObjectStore,
    bus: EventBus,
    *,
    issuer: Issuer | None = None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Wiring:
    """Build all use cases; nothing connects before its first call. Access tokens need an `issuer`.

    `monotonic` tells when what was read from the database has to be read again.
    """
    limits = UploadLimits(
        max_file_bytes=settings.max_file_bytes,
        multipart_threshold_bytes=settings.multipart_threshold_bytes,
        part_size_bytes=settings.part_size_bytes,
    )
    offers = Offers(stores.workers, ttl_s=settings.offers_ttl_s, clock=monotonic)
    files = Files(stores.files, objects, limits, look_schedule(settings))
    dispatch = Dispatch(stores.conversions, build_sender(settings, stores, bus))
    result_cache = ResultCache(
        stores.cache, conversions=stores.conversions, objects=objects, offers=offers, settings=settings
    )
    records = Records(
        stores.conversions,
        stores.history,
        objects,
        deletion=ConversionDeletion(stores.conversions, ConversionObjects(objects)),
        output_check=OutputCheck(stores.conversions, objects),
        files=files,
        dispatch=dispatch,
    )
    starter = Starter(
        stores.conversions,
        records=records,
        files=files,
        offers=offers,
        result_cache=result_cache,
        dispatch=dispatch,
    )
    issuer_keys = KeyCache(issuer) if issuer else None
    return Wiring(
        settings=settings,
        views=Views(
            base=(settings.public_url or "").rstrip("/") + PREFIX, retention_ms=int(settings.result_retention_s * 1000)
        ),
        keys=KeyRing(stores.access),
        issuer_keys=issuer_keys,
        tokens=_bearer_tokens(settings, issuer_keys) if issuer_keys else None,
        idempotency=Idempotency(stores.access, ttl_s=settings.idempotency_ttl_s),
        offers=offers,
        files=files,
        result_cache=result_cache,
        dispatch=dispatch,
        records=records,
        starter=starter,
        submission=Submission(
            stores.conversions,
            records=records,
            files=files,
            offers=offers,
            starter=starter,
            dispatch=dispatch,
            pending_limit=PendingLimit(stores.conversions, most=settings.max_pending_per_owner, clock=monotonic),
        ),
        passwords=Passwords(Seals(settings.sealing_keys)),
        plans=Plans(stores.conversions, files=files, offers=offers),
        dead_letters=DeadLetters(stores.dead_letters, stores.conversions, dispatch),
        live_events=LiveEvents(stores.conversions, bus, poll_s=settings.sse_poll_s, ping_s=settings.sse_ping_s),
        health=HealthCheck(
            {"database": stores.ping, "broker": bus.ping, "object_store": objects.ping},
            offers,
            faults={"database": lambda: stores.faults, "broker": lambda: bus.faults},
        ),
    )


def look_schedule(settings: Settings) -> LookSchedule:
    """Build the schedule of looks at uploads that wait."""
    return LookSchedule(ages_s=settings.upload_looks_s, url_ttl_s=settings.upload_url_ttl_s)


def _bearer_tokens(settings: Settings, keys: KeyCache) -> BearerTokens:
    tokens = AccessTokens(
        keys, issuer=settings.jwt_issuer or "", audiences=settings.jwt_audiences, leeway_s=settings.jwt_leeway_s
    )
    return BearerTokens(tokens, owner_claim=settings.jwt_owner_claim, scope_prefix=settings.jwt_scope_prefix)


def build_sender(
    settings: Settings, stores: Stores, bus: EventBus, *, now_ms: Callable[[], int] = ids.now_ms
) -> Sender:
    """Build the sender of events and messages; `now_ms` dates its changes."""
    return Sender(
        stores.conversions,
        bus,
        republish_after_s=settings.republish_after_s,
        republish_max_s=settings.republish_max_s,
        now_ms=now_ms,
    )
