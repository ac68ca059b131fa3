"""`python -m file_service` runs one API process; `python -m file_service openapi` updates the OpenAPI snapshot."""

import asyncio
import json
import math
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
import structlog
import uvicorn
import uvloop

from converto_infra.metrics import serve_metrics
from converto_infra.mongo.stores import MongoStores
from converto_infra.oidc.issuer import HttpIssuer
from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.s3.store import S3ObjectStore
from converto_infra.settings import Settings, load_settings
from converto_infra.sqs.events import SqsUploadEvents
from converto_infra.telemetry import configure_logging
from converto_infra.unreadable import UnreadableRecords
from file_service.app import FileService, build_routes
from file_service.http.openapi import CONFIG, SNAPSHOT, describe

LOOK_AT_BROKER_S = 60.0
"""How often the API looks at all exchanges and queues, because what only a worker notices is in nobody's health."""
EXIT_CRASHED, EXIT_MISCONFIGURED = 1, 2
LONGEST_GRACE_S = 30.0
"""Streams are ended first, and requests take milliseconds, except for a form of 16 MiB that comes in over a slow line.
A load balancer stops sending requests before a deployment stops this process, so nothing waits for a longer time."""

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Servers(msgspec.Struct, frozen=True):
    """The adapters of all servers; `background_stores` have longer deadlines, for sweeps and upload events."""

    stores: MongoStores
    background_stores: MongoStores
    objects: S3ObjectStore
    bus: RabbitEventBus
    upload_events: SqsUploadEvents | None
    issuer: HttpIssuer | None

    @classmethod
    def connect(cls, settings: Settings) -> "Servers":
        """Build the adapters; each connects at its first call."""
        unreadable = UnreadableRecords()  # those that a sweep meets are shown in health, too
        return cls(
            stores=MongoStores.connect(settings, timeout_s=settings.request_mongodb_timeout_s, unreadable=unreadable),
            background_stores=MongoStores.connect(settings, name="database_for_sweeps", unreadable=unreadable),
            objects=S3ObjectStore.connect(settings),
            bus=RabbitEventBus.connect(settings, look_at_all_s=LOOK_AT_BROKER_S),
            upload_events=SqsUploadEvents.connect(settings),
            issuer=HttpIssuer.connect(settings),
        )

    async def close(self) -> None:
        """Close all connections."""
        if self.upload_events is not None:
            await self.upload_events.close()
        await self.bus.close()
        await self.objects.close()
        await self.stores.close()
        await self.background_stores.close()
        if self.issuer is not None:
            await self.issuer.close()


def main(arguments: Sequence[str] | None = None, *, connect: Callable[[Settings], Servers] = Servers.connect) -> int:
    """Return the exit status: 0 after a clean stop, 1 after a crash, 2 if a setting must be changed."""
    if list(sys.argv[1:] if arguments is None else arguments) == ["openapi"]:
        SNAPSHOT.write_text(description(), encoding="utf-8")
        return 0
    if (settings := load_settings()) is None:
        return EXIT_MISCONFIGURED
    configure_logging(settings, service="file_service")
    return _run(settings, connect)


def description() -> str:
    """Return the OpenAPI description of the current routes as JSON text."""
    return json.dumps(describe(build_routes(Settings(), openapi=CONFIG)), indent=2, ensure_ascii=False) + "\n"


def _run(settings: Settings, connect: Callable[[Settings], Servers]) -> int:
    try:
        listening = socket.create_server((settings.host, settings.port), backlog=2048)
    except OSError as error:
        hint = "set CONVERTO_PORT or CONVERTO_HOST to a free address, or stop the process that uses this one"
        log.error("service.cannot_listen", host=settings.host, port=settings.port, reason=error.strerror, hint=hint)
        return EXIT_MISCONFIGURED
    try:
        serve_metrics(settings)
        uvloop.run(_serve(settings, listening, connect))
    except Exception:  # process entry: the last place that can log the error
        log.exception("service.broken")
        return EXIT_CRASHED
    return 0


async def _serve(settings: Settings, listening: socket.socket, connect: Callable[[Settings], Servers]) -> None:
    servers = connect(settings)
    try:
        service = FileService(
            settings,
            servers.stores,
            servers.objects,
            servers.bus,
            background_stores=servers.background_stores,
            upload_events=servers.upload_events,
            issuer=servers.issuer,
        )
        server = _Server(service, grace_s=min(settings.stop_grace_s, LONGEST_GRACE_S))
        async with service.running():
            log.info("service.listening", host=settings.host, port=listening.getsockname()[1])
            await server.serve(sockets=[listening])
    finally:
        await servers.close()
        log.info("service.stopped")


class _Server(uvicorn.Server):
    """Uvicorn, but it ends live streams first and returns instead of killing the process when it has stopped."""

    def __init__(self, service: FileService, *, grace_s: float) -> None:
        """`grace_s`: what is still running this long after the signal is cut off."""
        self._service = service
        super().__init__(
            uvicorn.Config(
                service.asgi,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=math.ceil(grace_s),
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM or SIGINT; uvicorn's own version raises the signal again, which would skip our clean-up."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then shut down; called once when the server stops listening."""
        self._service.close_streams()
        await super().shutdown(sockets)


if __name__ == "__main__":
    sys.exit(main())
