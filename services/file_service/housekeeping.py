"""Runs the sweeps that nobody asks for: each repeats in its own rhythm, and any number of processes may do so.

`python -m file_service.housekeeping` runs them without the API (`--once`: each sweep a single time). It knows no HTTP.
"""

import argparse
import asyncio
import random
import sys
from collections.abc import Sequence

import structlog
from pydantic import ValidationError

from converto_core.ports import EventBus, ObjectStore
from converto_infra.metrics import serve_metrics
from converto_infra.mongo import MongoStores
from converto_infra.rabbitmq import RabbitEventBus
from converto_infra.s3 import S3ObjectStore
from converto_infra.settings import Settings, load_settings
from converto_infra.telemetry import configure_logging
from file_service.retention import ConfirmUpload
from file_service.sweeps import Stores, Sweep, Sweeps
from file_service.wiring import build_wiring

__all__ = ["Sweeps", "run_housekeeping"]

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


async def run_housekeeping(
    settings: Settings,
    stores: Stores,
    objects: ObjectStore,
    bus: EventBus,
    *,
    confirm_upload: ConfirmUpload | None = None,
) -> None:
    """Repeat all sweeps until cancelled, each in its own rhythm, so that a slow server delays only what needs it."""
    sweeps = Sweeps(settings, stores, objects, bus, confirm_upload=confirm_upload)
    async with asyncio.TaskGroup() as repeating:
        for sweep in sweeps.all:
            repeating.create_task(_repeat(sweeps, sweep), name=f"sweep {sweep.name}")


async def _repeat(sweeps: Sweeps, sweep: Sweep) -> None:
    while True:
        try:
            await sweeps.survive(sweep)
        except Exception:  # process entry of a sweep: a bug in one of them must not end the others
            log.exception("sweep.broken", sweep=sweep.name)
        # Jitter, so that many processes do not sweep in step.
        await asyncio.sleep(sweep.interval_s * random.uniform(0.8, 1.2))  # noqa: S311 - jitter keeps no secret


async def _serve(settings: Settings, *, is_once: bool) -> None:
    stores, objects = MongoStores.connect(settings), S3ObjectStore.connect(settings)
    bus = RabbitEventBus.connect(settings)
    confirm_upload = _confirming(settings, stores, objects, bus)
    try:
        if is_once:
            done = await Sweeps(settings, stores, objects, bus, confirm_upload=confirm_upload).once()
            log.info("housekeeping.done", **done)
        else:
            await run_housekeeping(settings, stores, objects, bus, confirm_upload=confirm_upload)
    finally:
        await bus.close()
        await objects.close()
        await stores.close()


def _confirming(settings: Settings, stores: MongoStores, objects: ObjectStore, bus: EventBus) -> ConfirmUpload:
    """The same use case that the API offers; what it makes runnable leaves with the next sweep of the outbox."""
    conversions = build_wiring(settings, stores, objects, bus).conversions

    async def confirm_upload(file_id: str) -> None:
        await conversions.confirm_upload(None, file_id)

    return confirm_upload


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of `python -m file_service.housekeeping`; 2 when a setting has to change."""
    parser = argparse.ArgumentParser(prog="file_service.housekeeping", description="converto's housekeeping")
    parser.add_argument("--once", action="store_true", help="run each sweep a single time and end")
    chosen = parser.parse_args(arguments)
    try:
        settings = load_settings()
    except ValidationError as error:
        sys.stderr.write(f"The settings (environment variables CONVERTO_...) are not valid:\n{error}\n")
        return 2
    configure_logging(settings, service="housekeeping")
    serve_metrics(settings)
    asyncio.run(_serve(settings, is_once=chosen.once))
    return 0


if __name__ == "__main__":
    sys.exit(main())
