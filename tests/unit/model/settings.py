"""The settings of all processes of a cluster."""

import functools

from converto_infra.settings import Settings


@functools.cache
def settings() -> Settings:
    """Short times, so that little fake time covers a lease, and limits that a short run can reach."""
    return Settings(
        beat_interval_s=2,
        lease_s=8,
        sweep_interval_s=2,
        republish_after_s=250,
        republish_max_s=250,
        retry_base_s=2,
        retry_max_s=4,
        max_attempts=2,
        max_lost=3,
        upload_deadline_s=60,
        upload_looks_s=(4, 15),
        result_retention_s=200,
        failure_retention_s=250,
        record_retention_s=400,
        deleted_file_outputs_after_s=100,
        source_retention_s=300,
        orphan_age_s=150,
        history_retention_s=24 * 3600,
        conversion_timeout_s=20,
        media_timeout_s=20,
        work_reserve_bytes=0,
    )
