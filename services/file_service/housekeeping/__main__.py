"""`python -m file_service.housekeeping` runs the sweeps without the API; see `--once` and `--dry-run`."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

import structlog

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
from file_service.housekeeping.schedule import repeat_all
from file_service.housekeeping.sweeps import Sweep, Sweeps
from file_service.uploads.unattended import ConfirmUpload
from file_service.wiring import build_wiring

DONE, DEPENDENCY_AWAY, USAGE_ERROR = 0, 1, 2

log: structlog.stdlib.BoundLogger = structlog.get_logger("file_service.housekeeping")


async def _serve(settings: Settings, arguments: argparse.Namespace) -> int:
    stores, objects = MongoStores.connect(settings), S3ObjectStore.connect(settings)
    bus = RabbitEventBus.connect(settings)
    sweeps = Sweeps(
        settings,
        stores,
        objects,
        bus,
        confirm_upload=_confirm_upload(settings, stores, objects, bus),
        walks_whole_bucket=arguments.once or arguments.dry_run,
    )
    try:
        return await _work(sweeps, arguments)
    finally:
        await bus.close()
        await objects.close()
        await stores.close()


async def _work(sweeps: Sweeps, arguments: argparse.Namespace) -> int:
    if arguments.look_at_uploads:
        return await _look_at_uploads(sweeps)
    named = set(arguments.only or [sweep.name for sweep in sweeps.all])
    chosen = [sweep for sweep in sweeps.all if sweep.name in named]
    if unknown := named - {sweep.name for sweep in chosen}:
        known = ", ".join(sweep.name for sweep in sweeps.all)
        sys.stderr.write(f"Unknown sweep: {', '.join(sorted(unknown))}. Available sweeps: {known}\n")
        return USAGE_ERROR
    if arguments.dry_run:
        return await _dry_run(chosen, is_json=arguments.json)
    if not arguments.once:
        await repeat_all(sweeps, chosen)
    done = await sweeps.run_once(chosen)
    log.info("housekeeping.done", **done)
    return DEPENDENCY_AWAY if sweeps.failing else DONE


async def _look_at_uploads(sweeps: Sweeps) -> int:
    try:
        confirmed = await sweeps.waiting_uploads.look_at_all()
    except DependencyUnavailable as error:
        sys.stderr.write(f"Not all uploads were looked at: {error.public_message} ({error.detail}). Run this again\n")
        return DEPENDENCY_AWAY
    log.info("housekeeping.uploads_confirmed", count=confirmed)
    return DONE


async def _dry_run(chosen: Sequence[Sweep], *, is_json: bool) -> int:
    try:
        await DryRun(sys.stdout.write, is_json=is_json, now_ms=now_ms()).report(chosen)
    except DependencyUnavailable as error:
        sys.stderr.write(
            f"The list is incomplete: {error.public_message} ({error.detail}). Run the command again later\n"
        )
        return DEPENDENCY_AWAY
    return DONE


def _confirm_upload(settings: Settings, stores: MongoStores, objects: ObjectStore, bus: EventBus) -> ConfirmUpload:
    """Return the use case of the API; the next outbox sweep sends the messages of conversions that it starts."""
    starter = build_wiring(settings, stores, objects, bus).starter

    async def confirm_upload(file_id: str) -> None:
        await starter.confirm_upload(None, file_id)

    return confirm_upload


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="file_service.housekeeping",
        description="Run converto's housekeeping. Without options it runs until it is stopped.",
        epilog="Exit status: 0 success, 1 a dependency was unavailable, 2 an option or a setting is invalid.",
    )
    parser.add_argument("--once", action="store_true", help="run each sweep once and exit (for a timer)")
    parser.add_argument(
        "--dry-run", action="store_true", help="list what would be removed, without changing anything, and exit"
    )
    parser.add_argument(
        "--look-at-uploads",
        action="store_true",
        help="look now at every upload that waits, confirm those that have arrived, and exit",
    )
    parser.add_argument("--json", action="store_true", help="with --dry-run: print one JSON object per line")
    parser.add_argument("--only", type=_names, metavar="NAMES", help="run only these sweeps, separated by commas")
    chosen = parser.parse_args(arguments)
    if chosen.json and not chosen.dry_run:
        parser.error("--json requires --dry-run")
    return chosen


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 if a dependency was away, or 2 for a usage error."""
    chosen = _parse(arguments)
    if (settings := load_settings()) is None:
        return USAGE_ERROR
    configure_logging(settings, service="housekeeping")
    if not (chosen.once or chosen.dry_run or chosen.look_at_uploads):
        serve_metrics(settings)
    return asyncio.run(_serve(settings, chosen))


if __name__ == "__main__":
    sys.exit(main())
