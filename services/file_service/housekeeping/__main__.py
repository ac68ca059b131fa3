"""`python -m file_service.housekeeping`: the sweeps without the API; see `--once` and `--dry-run`."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

import structlog
from pydantic import ValidationError

from converto_core.errors import DependencyUnavailable
from converto_core.ids import now_ms
from converto_core.ports.bus import EventBus
from converto_core.ports.objects import ObjectStore
from converto_infra.metrics import serve_metrics
from converto_infra.mongo.stores import MongoStores
from converto_infra.rabbitmq.bus import RabbitEventBus
from converto_infra.s3.store import S3ObjectStore
from converto_infra.settings import Settings, load_settings
from converto_infra.telemetry import configure_logging
from file_service.housekeeping.dry_run import DryRun
from file_service.housekeeping.retention.abandoned_uploads import ConfirmUpload
from file_service.housekeeping.schedule import repeat_all
from file_service.housekeeping.sweeps import Sweep, Sweeps
from file_service.wiring import build_wiring

DONE, SERVER_AWAY, WRONG_USE = 0, 1, 2

log: structlog.stdlib.BoundLogger = structlog.get_logger("file_service.housekeeping")


async def _serve(settings: Settings, arguments: argparse.Namespace) -> int:
    stores, objects = MongoStores.connect(settings), S3ObjectStore.connect(settings)
    bus = RabbitEventBus.connect(settings)
    sweeps = Sweeps(
        settings,
        stores,
        objects,
        bus,
        confirm_upload=_confirming(settings, stores, objects, bus),
        walks_whole_bucket=arguments.once or arguments.dry_run,
    )
    try:
        return await _work(sweeps, arguments)
    finally:
        await bus.close()
        await objects.close()
        await stores.close()


async def _work(sweeps: Sweeps, arguments: argparse.Namespace) -> int:
    named = set(arguments.only or [sweep.name for sweep in sweeps.all])
    chosen = [sweep for sweep in sweeps.all if sweep.name in named]
    if unknown := named - {sweep.name for sweep in chosen}:
        known = ", ".join(sweep.name for sweep in sweeps.all)
        sys.stderr.write(f"There is no sweep {', '.join(sorted(unknown))}. There are: {known}\n")
        return WRONG_USE
    if arguments.dry_run:
        return await _tell(chosen, is_json=arguments.json)
    if not arguments.once:
        await repeat_all(sweeps, chosen)
    done = await sweeps.once(chosen)
    log.info("housekeeping.done", **done)
    return SERVER_AWAY if sweeps.failing else DONE


async def _tell(chosen: Sequence[Sweep], *, is_json: bool) -> int:
    try:
        await DryRun(sys.stdout.write, is_json=is_json, now_ms=now_ms()).tell(chosen)
    except DependencyUnavailable as error:
        sys.stderr.write(f"The list is not complete: {error.public_message} ({error.detail})\n")
        return SERVER_AWAY
    return DONE


def _confirming(settings: Settings, stores: MongoStores, objects: ObjectStore, bus: EventBus) -> ConfirmUpload:
    """The same use case that the API offers; what it makes runnable leaves with the next sweep of the outbox."""
    conversions = build_wiring(settings, stores, objects, bus).conversions

    async def confirm_upload(file_id: str) -> None:
        await conversions.confirm_upload(None, file_id)

    return confirm_upload


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="file_service.housekeeping",
        description="converto's housekeeping; without options it goes on until it is stopped",
        epilog="exit status: 0 all done, 1 a server was away, 2 an option or a setting has to change",
    )
    parser.add_argument("--once", action="store_true", help="run each sweep a single time and end (for a schedule)")
    parser.add_argument("--dry-run", action="store_true", help="list what would go, change nothing and end")
    parser.add_argument("--json", action="store_true", help="with --dry-run: one JSON object a line")
    parser.add_argument("--only", type=_names, metavar="NAMES", help="only these sweeps, separated by commas")
    chosen = parser.parse_args(arguments)
    if chosen.json and not chosen.dry_run:
        parser.error("--json goes with --dry-run")
    return chosen


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of `python -m file_service.housekeeping`; 1 when a server was away, 2 when its user has to change it."""
    chosen = _parse(arguments)
    try:
        settings = load_settings()
    except ValidationError as error:
        sys.stderr.write(f"The settings (environment variables CONVERTO_...) are not valid:\n{error}\n")
        return WRONG_USE
    configure_logging(settings, service="housekeeping")
    if not (chosen.once or chosen.dry_run):
        serve_metrics(settings)
    return asyncio.run(_serve(settings, chosen))


if __name__ == "__main__":
    sys.exit(main())
