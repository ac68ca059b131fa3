"""Composition root of the file service: builds the application and owns its background tasks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig

from converto_core.access import ApiKey, hash_secret, split_key_text
from converto_core.caller import Scope
from converto_core.errors import DependencyUnavailable
from converto_core.ids import now_ms
from converto_core.ports.bus import EventBus
from converto_core.ports.issuer import Issuer
from converto_core.ports.objects import ObjectStore
from converto_core.ports.upload_events import UploadEvents
from converto_infra.retry import Retry
from converto_infra.settings import Settings
from file_service.housekeeping.schedule import run_housekeeping
from file_service.http.authentication import Authentication
from file_service.http.load_shedding import LoadShedding
from file_service.http.middleware import RequestMiddleware
from file_service.http.problem_details import to_response
from file_service.http.requests import PREFIX
from file_service.http.routes import catalogue, docs, events, health, plans
from file_service.http.routes.conversions import conversion_routes
from file_service.http.routes.dead_letters import dead_letter_routes
from file_service.http.routes.files import file_routes
from file_service.http.scopes import needs, require_scope
from file_service.http.time_limit import TimeLimit
from file_service.uploads.event_consumer import UploadEventConsumer
from file_service.wiring import Stores, Wiring, build_wiring

PREPARE_RETRY_S = 1.0

log = structlog.get_logger()


class FileService:
    """The ASGI application with its background tasks."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        objects: ObjectStore,
        bus: EventBus,
        *,
        background_stores: Stores | None = None,
        upload_events: UploadEvents | None = None,
        issuer: Issuer | None = None,
        routes: Litestar | None = None,
        prepare_retry_s: float = PREPARE_RETRY_S,
    ) -> None:
        """`background_stores` are the same stores with longer deadlines, for work that no client waits for.
        Access tokens of `issuer` are accepted beside API keys.

        Without `upload_events`, uploads are confirmed by clients and by the sweep `waiting_uploads`.

        Tests that build many services pass `routes`, because building routes takes longer than most tests.
        """
        self._settings, self._stores, self._objects, self._bus = settings, stores, objects, bus
        self._background_stores = background_stores or stores
        self._upload_events = upload_events
        self.wiring = build_wiring(settings, stores, objects, bus, issuer=issuer)
        self._prepare_retry_s = prepare_retry_s
        routes = routes or build_routes(settings)
        routes.state.wiring = self.wiring
        limited = TimeLimit(routes, seconds=settings.request_timeout_s)
        self.shedding = LoadShedding(limited, max_requests=settings.max_requests, max_streams=settings.max_live_streams)
        self.asgi = RequestMiddleware(self.shedding)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Prepare the dependencies, retrying until they are up, and run the background tasks.

        A background task that fails ends the whole process, so that a supervisor notices.
        """
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            preparing = group.create_task(self._prepare())
            listening = group.create_task(self.wiring.live_events.run())
            sweeping = group.create_task(self._sweep())
            endless = [preparing, listening, sweeping]
            if self.wiring.issuer_keys is not None:
                endless.append(group.create_task(self.wiring.issuer_keys.run()))
            group.create_task(self.wiring.dispatch.run(stopping))
            if self._upload_events is not None:
                group.create_task(self._consumer(self._upload_events).run(stopping))
            try:
                yield
            finally:
                self.wiring.live_events.close()
                for task in endless:
                    task.cancel()
                stopping.set()

    def close_streams(self) -> None:
        """End streams and waits, so that a graceful stop does not wait for them."""
        self.wiring.live_events.close()

    async def _sweep(self) -> None:
        await run_housekeeping(
            self._settings, self._background_stores, self._objects, self._bus, confirm_upload=self._confirm_upload
        )

    def _consumer(self, events: UploadEvents) -> UploadEventConsumer:
        return UploadEventConsumer(
            events,
            self._background_stores.files,
            confirm_upload=self._confirm_upload,
            check_dependencies=self._check_dependencies,
        )

    async def _confirm_upload(self, file_id: str) -> None:
        await self.wiring.starter.confirm_upload(None, file_id)

    async def _check_dependencies(self) -> None:
        """Raise `DependencyUnavailable` while no upload can be confirmed."""
        await self._background_stores.ping()
        await self._objects.ping()
        await self.wiring.offers.require_any()

    async def _prepare(self) -> None:
        retry_s = self._prepare_retry_s
        await Retry(first_s=retry_s, longest_s=retry_s, on_failure=_log_wait)(self._prepare_once)
        self.wiring.health.is_prepared = True
        log.info("service.prepared")

    async def _prepare_once(self) -> None:
        await self._background_stores.ensure_indexes()
        if self._settings.s3_create_bucket:
            await self._objects.ensure_bucket()
        if key := bootstrap_key(self._settings):
            await self._stores.access.put_key(key)


def _log_wait(error: DependencyUnavailable, _failures: int) -> None:
    log.warning("service.waits_for_dependency", code=error.stable_code, detail=error.detail)


def build_routes(settings: Settings, *, openapi: OpenAPIConfig | None = None) -> Litestar:
    """Build the routes; their dependencies are read from `state.wiring` at each request."""
    return Litestar(
        route_handlers=[
            Router(
                PREFIX,
                middleware=[DefineMiddleware(Authentication)],
                guards=[require_scope],
                route_handlers=[
                    *file_routes(),
                    *conversion_routes(settings),
                    events.follow_conversion,
                    events.follow_all,
                    catalogue.list_formats,
                    plans.make_plan,
                    catalogue.list_workers,
                    catalogue.who_am_i,
                    Router("/admin", opt=needs(Scope.ADMIN), route_handlers=dead_letter_routes()),
                ],
            ),
            Router("/api", route_handlers=[health.live, health.ready, health.whole]),
            docs.redirect_to_page,
            docs.openapi_description,
            docs.docs_page,
            docs.docs_files(),
        ],
        dependencies={name: _dependency(name) for name in Wiring.__struct_fields__},
        exception_handlers={Exception: to_response},
        request_max_body_size=None,  # each route that reads a body sets its own, smaller limit
        logging_config=None,
        openapi_config=openapi,
    )


def bootstrap_key(settings: Settings) -> ApiKey | None:
    """Return the initial administrator key as the store keeps it; None if it is not set or malformed."""
    if settings.bootstrap_api_key is None:
        return None
    parts = split_key_text(settings.bootstrap_api_key.get_secret_value())
    if parts is None:
        log.error("bootstrap_key.invalid", hint="set CONVERTO_BOOTSTRAP_API_KEY to a key of the form cvt_<id>_<secret>")
        return None
    key_id, secret = parts
    return ApiKey(
        id=key_id,
        owner=settings.bootstrap_owner,
        secret_sha256=hash_secret(secret),
        created_at=now_ms(),
        label="bootstrap",
        is_admin=True,
    )


def _dependency(name: str) -> Provide:
    def provide(state: State) -> Any:
        return getattr(state.wiring, name)

    return Provide(provide, sync_to_thread=False)
