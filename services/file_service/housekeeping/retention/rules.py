"""All rules over one set of servers, in the order in which a round applies them. It knows no clock and no rhythm."""

from collections.abc import Callable

from converto_core.ports.bus import EventBus
from converto_core.ports.objects import ObjectStore
from converto_infra.settings import Settings
from file_service.housekeeping.retention.abandoned_uploads import AbandonedUploads, ConfirmUpload
from file_service.housekeeping.retention.aged_records import Aged
from file_service.housekeeping.retention.bucket_mark import BucketMark
from file_service.housekeeping.retention.conversion_objects import ConversionObjects
from file_service.housekeeping.retention.deleted_files import DeletedFiles, OutputsOfDeletedFiles
from file_service.housekeeping.retention.ended_conversions import EndedConversions, OldFailures, OldRecords
from file_service.housekeeping.retention.expired_results import OldResults, ResultExpiry
from file_service.housekeeping.retention.gone_workers import GoneWorkers
from file_service.housekeeping.retention.open_uploads import OpenUploads
from file_service.housekeeping.retention.orphans import PAGES_PER_SWEEP, Orphans
from file_service.housekeeping.retention.removal import Kind
from file_service.housekeeping.retention.rule_runner import RuleRunner
from file_service.housekeeping.retention.unused_sources import UnusedSources
from file_service.housekeeping.trusted_time import TrustedTime
from file_service.wiring import Stores


def retention_rules(
    settings: Settings,
    stores: Stores,
    objects: ObjectStore,
    bus: EventBus,
    *,
    confirm_upload: ConfirmUpload | None,
    now_ms: Callable[[], int],
    walks_whole_bucket: bool,
) -> dict[str, RuleRunner]:
    """The rules by name. No rule makes work for a later one of the same round: so a dry run tells what a round does."""
    time, mark = TrustedTime(objects, now_ms), BucketMark(objects, stores.identity)
    conversions, files, made = stores.conversions, stores.files, ConversionObjects(objects)
    expiry, ended = ResultExpiry(conversions, made, bus, now_ms=now_ms), EndedConversions(conversions, made)
    uploads = AbandonedUploads(
        conversions,
        files,
        objects,
        bus,
        deadline_s=settings.upload_deadline_s,
        confirm_upload=confirm_upload,
        now_ms=now_ms,
    )
    sources = UnusedSources(conversions, files, objects, retention_s=settings.source_retention_s, now_ms=now_ms)
    deleted_outputs = OutputsOfDeletedFiles(conversions, files, expiry, after_s=settings.deleted_file_outputs_after_s)
    records = OldRecords(
        ended, result_retention_s=settings.result_retention_s, record_retention_s=settings.record_retention_s
    )
    pages = None if walks_whole_bucket else PAGES_PER_SWEEP
    orphans = Orphans(conversions, files, objects, mark, age_s=settings.orphan_age_s, pages_per_sweep=pages)
    open_uploads = OpenUploads(conversions, files, objects, mark, age_s=settings.upload_deadline_s)
    answers = Aged(stores.access.old_answers, Kind.ANSWER, retention_s=0)
    # An entry is made before its engine runs, and results are kept from the end of the run on. Too early costs one run.
    cache = Aged(
        stores.cache.old_entries, Kind.CACHE_ENTRY, retention_s=settings.result_retention_s + settings.media_timeout_s
    )
    history = Aged(stores.history.old_entries, Kind.HISTORY, retention_s=settings.history_retention_s)
    return {
        "uploads": RuleRunner(uploads, time),
        "sources": RuleRunner(sources, time),
        "results": RuleRunner(OldResults(conversions, expiry, retention_s=settings.result_retention_s), time),
        "deleted_outputs": RuleRunner(deleted_outputs, time),
        "failures": RuleRunner(OldFailures(ended, retention_s=settings.failure_retention_s), time),
        "records": RuleRunner(records, time),
        "files": RuleRunner(DeletedFiles(files, retention_s=settings.record_retention_s), time),
        "open_uploads": RuleRunner(open_uploads, time, prepare=mark.claim),
        "orphans": RuleRunner(orphans, time, prepare=mark.claim),
        "answers": RuleRunner(answers, time),
        "history": RuleRunner(history, time),
        "cache": RuleRunner(cache, time),
        "workers": RuleRunner(GoneWorkers(stores.workers, offers_ttl_s=settings.offers_ttl_s), time),
    }
