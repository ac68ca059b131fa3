"""Builds all retention rules, in the order in which a round runs them."""

from collections.abc import Callable

from converto_core.ports.objects import ObjectStore
from converto_infra.settings import Settings
from file_service.conversions.conversion_objects import ConversionDeletion, ConversionObjects
from file_service.delivery.sender import Sender
from file_service.housekeeping.retention.abandoned_uploads import AbandonedUploads
from file_service.housekeeping.retention.aged_records import Aged
from file_service.housekeeping.retention.bucket_mark import BucketMark
from file_service.housekeeping.retention.deleted_files import DeletedFiles, OutputsOfDeletedFiles
from file_service.housekeeping.retention.ended_conversions import EndedConversions, OldFailures, OldRecords
from file_service.housekeeping.retention.expired_results import OldResults, ResultExpiry
from file_service.housekeeping.retention.gone_workers import GoneWorkers
from file_service.housekeeping.retention.key_records import KeyRecords
from file_service.housekeeping.retention.open_uploads import OpenUploads
from file_service.housekeeping.retention.orphans import PAGES_PER_SWEEP, Orphans
from file_service.housekeeping.retention.removal import Kind
from file_service.housekeeping.retention.rule_runner import RuleRunner
from file_service.housekeeping.retention.unused_sources import UnusedSources
from file_service.housekeeping.trusted_time import TrustedTime
from file_service.uploads.unattended import ConfirmUpload
from file_service.wiring import Stores


def retention_rules(
    settings: Settings,
    stores: Stores,
    objects: ObjectStore,
    sender: Sender,
    *,
    confirm_upload: ConfirmUpload | None,
    now_ms: Callable[[], int],
    walks_whole_bucket: bool,
) -> dict[str, RuleRunner]:
    """Return the rules by name. No rule makes work for a later one, so a dry run lists exactly what a round removes."""
    time, mark = TrustedTime(objects, now_ms), BucketMark(objects, stores.identity)
    conversions, files, records = stores.conversions, stores.files, KeyRecords(stores.conversions, stores.files)
    outputs = ConversionObjects(objects)
    expiry = ResultExpiry(sender, outputs, now_ms=now_ms)
    ended = EndedConversions(conversions, ConversionDeletion(conversions, outputs))
    uploads = AbandonedUploads(
        conversions,
        files,
        objects,
        sender,
        deadline_s=settings.upload_deadline_s,
        confirm_upload=confirm_upload,
        now_ms=now_ms,
    )
    sources = UnusedSources(conversions, files, objects, retention_s=settings.source_retention_s, now_ms=now_ms)
    deleted_outputs = OutputsOfDeletedFiles(conversions, files, expiry, after_s=settings.deleted_file_outputs_after_s)
    old_records = OldRecords(
        ended, result_retention_s=settings.result_retention_s, record_retention_s=settings.record_retention_s
    )
    pages = None if walks_whole_bucket else PAGES_PER_SWEEP
    orphans = Orphans(records, objects, mark, age_s=settings.orphan_age_s, pages_per_sweep=pages)
    open_uploads = OpenUploads(records, objects, mark, age_s=settings.upload_deadline_s)
    answers = Aged(stores.access.old_answers, Kind.ANSWER, retention_s=0)
    # A cache entry is created before its engine runs, while results are kept from the end of the run on. An entry that
    # is removed too early costs one extra run.
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
        "records": RuleRunner(old_records, time),
        "files": RuleRunner(DeletedFiles(files, retention_s=settings.record_retention_s), time),
        "open_uploads": RuleRunner(open_uploads, time, prepare=mark.claim),
        "orphans": RuleRunner(orphans, time, prepare=mark.claim),
        "answers": RuleRunner(answers, time),
        "history": RuleRunner(history, time),
        "cache": RuleRunner(cache, time),
        "workers": RuleRunner(GoneWorkers(stores.workers, offers_ttl_s=settings.offers_ttl_s), time),
    }
