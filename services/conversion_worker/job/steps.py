"""The steps of one job in order, from the source in the object store to the outputs in the object store."""

import asyncio
from pathlib import Path

import structlog

from conversion_worker.job.other_workers import OtherWorkers
from conversion_worker.job.plan import ConverterSet, PlanRunner, Span, limits_for, source_path
from conversion_worker.job.results import JobResult, Results
from conversion_worker.job.source import Sources
from conversion_worker.single_flight.single_flight import SingleFlight
from converto_core.conversion.record import Conversion
from converto_core.errors import DependencyUnavailable
from converto_core.secret import Secret
from converto_engines.converter import Report
from converto_engines.sniffing.archive_limits import check_archive
from converto_infra.clock import Clock
from converto_infra.retry import Retry
from converto_infra.sealing.seals import Seals
from converto_infra.settings import Settings

DOWNLOADED, CONVERTED = 10.0, 90.0  # percent of the whole at the end of these steps

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class JobRunner:
    """Runs the jobs of one slot, one at a time."""

    def __init__(
        self,
        *,
        sources: Sources,
        single_flight: SingleFlight,
        results: Results,
        converters: ConverterSet,
        other_workers: OtherWorkers,
        seals: Seals,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._sources = sources
        self._single_flight = single_flight
        self._results = results
        self._converters = converters
        self._other_workers = other_workers
        self._seals = seals
        self._plans = PlanRunner(converters, settings=settings, clock=clock)
        self._settings = settings
        self._clock = clock

    async def run(self, claimed: Conversion, folder: Path, report: Report) -> JobResult:
        """Run the job; raise a `ConversionError`, `LeaderRunning`, or `DependencyUnavailable` after the deadline."""
        # An impossible plan fails before anything is downloaded.
        await self._other_workers.check(self._converters, claimed)
        retry = server_retry(claimed, self._settings.conversion_timeout_s, self._clock)
        path = await asyncio.to_thread(source_path, folder, claimed.plan[0])

        report(0.0, "downloading")
        if reused := await self._single_flight.reuse_awaited(claimed, retry):
            return reused
        file = await self._sources.find(claimed, retry)
        digest = await self._sources.download(claimed, file, path, retry)

        report(DOWNLOADED, "checking the file")
        await self._sources.check(claimed, file, path, digest)
        await asyncio.to_thread(check_archive, path, limits_for(claimed.family, self._settings, spent_s=0))
        appended = await self._sources.fetch_appended(claimed, path.parent, retry)

        hashes = (digest.sha256, *(one.sha256 for one in appended))
        key = self._single_flight.key(claimed, hashes, tuple(self._converters.offers.values()))
        await self._sources.store_hashes(claimed, file, digest, retry, cache_key=key)
        if reused := await self._single_flight.lead_or_reuse(claimed, key, retry):
            return reused

        paths = (path, *(one.path for one in appended))
        converting = Span(DOWNLOADED, CONVERTED).report_to(report)
        converted = await self._plans.run(claimed, paths, converting, password=self._password_of(claimed))
        uploading = Span(CONVERTED, 100.0).report_to(report)
        outputs = await self._results.upload(claimed, converted.products, uploading, retry)
        versions = self._converters.engine_versions(claimed.plan)
        return JobResult(outputs=outputs, engine_versions=versions, notes=converted.notes)

    def _password_of(self, claimed: Conversion) -> Secret | None:
        """Open the seal just before the password is used; raise `PasswordUnreadable`."""
        sealed = claimed.sealed_password
        return None if sealed is None else self._seals.open(sealed, record_id=claimed.id)


def server_retry(claimed: Conversion, seconds: float, clock: Clock) -> Retry:
    """Return the retry of one job: it waits this long for servers that are away, while the lease goes on beating."""

    def log_retry(error: DependencyUnavailable, failures: int) -> None:
        log.warning(
            "job.dependency_away",
            conversion_id=claimed.id,
            code=error.stable_code,
            reason=error.detail,
            failures=failures,
        )

    return Retry(first_s=0.25, longest_s=2.0, clock=clock, within_s=seconds, on_failure=log_retry)
