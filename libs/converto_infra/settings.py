"""All settings of the services, read once from the environment (`CONVERTO_…`), validated, with secrets masked."""

import os
from importlib.util import find_spec
from typing import Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

KIB, MIB, GIB = 1024, 1024**2, 1024**3


class Settings(BaseSettings):
    """One flat list for all services, so that one environment file configures a whole installation."""

    model_config = SettingsConfigDict(env_prefix="CONVERTO_", extra="ignore", frozen=True)

    # What is outside
    mongodb_url: SecretStr = SecretStr("mongodb://127.0.0.1:27017")
    mongodb_database: str = "converto"
    mongodb_driver: Literal["pymongo", "motor"] = Field(
        "pymongo",
        description="MongoDB driver: PyMongo's asyncio client, or Motor (end of life since May 2026), which needs "
        "`pip install converto[motor]`.",
    )
    mongodb_retry_writes: bool = False
    rabbitmq_url: SecretStr = SecretStr("amqp://guest:guest@127.0.0.1:5672/")
    s3_endpoint_url: str | None = None
    s3_public_endpoint_url: str | None = Field(
        None,
        description="Endpoint written into presigned URLs when clients reach the object store by another name.",
    )
    s3_bucket: str = "converto"
    s3_region: str = "us-east-1"
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None
    s3_addressing_style: str = Field("path", pattern="^(path|virtual)$")
    s3_create_bucket: bool = False

    # File service
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    public_url: str | None = None
    bootstrap_api_key: SecretStr | None = Field(
        None, description="A key (cvt_<id>_<secret>) that the file service makes sure exists when it starts."
    )
    bootstrap_owner: str = "local"
    max_file_bytes: int = Field(50 * GIB, ge=1)
    max_form_bytes: int = Field(
        16 * MIB, ge=1, description="Largest file accepted inside a multipart/form-data request."
    )
    multipart_threshold_bytes: int = Field(64 * MIB, ge=1)
    part_size_bytes: int = Field(16 * MIB, ge=5 * MIB)
    upload_url_ttl_s: int = Field(900, ge=1, le=604800)
    download_url_ttl_s: int = Field(300, ge=1, le=604800)
    upload_deadline_s: float = Field(86400, gt=0, description="An upload that has not arrived by then is given up.")
    idempotency_ttl_s: int = Field(86400, ge=1)
    max_wait_s: int = Field(60, ge=0, description="Longest `Prefer: wait=N` that is honoured.")
    offers_ttl_s: int = Field(
        7 * 86400,
        ge=1,
        description="A route stays on offer this long after its last worker was seen (scale to zero).",
    )
    sse_ping_s: float = Field(15, gt=0)
    max_requests: int = Field(
        32,
        ge=1,
        description="Requests served at once by one file service, fewer while a server behind it is out of breath; "
        "what is above is answered 503 at once.",
    )
    max_live_streams: int = Field(500, ge=1, description="The same for live streams and answers that are waited for.")
    max_pending_per_owner: int = Field(
        100_000, ge=1, description="Conversions of one owner that may wait for a worker; then new ones are refused."
    )
    sse_poll_s: float = Field(2, gt=0, description="How often a live stream looks at the record itself.")

    # Housekeeping
    sweep_interval_s: float = Field(1, gt=0)
    republish_after_s: float = Field(
        600,
        gt=0,
        description="A wake-up that nobody claimed leaves again after this, then 2x, 4x …; lost ones leave sooner.",
    )
    republish_max_s: float = Field(3600, gt=0)
    parked_retention_s: float = Field(
        30 * 86400, gt=0, description="Messages that the broker set aside are kept this long for an administrator."
    )
    result_retention_s: float = Field(
        7 * 86400, gt=0, description="Results are kept this long after their conversion completed; then it is expired."
    )
    failure_retention_s: float = Field(
        7 * 86400, gt=0, description="Failed, cancelled and never uploaded conversions go this long after they ended."
    )
    record_retention_s: float = Field(
        30 * 86400, gt=0, description="The record of an expired result or of a deleted file is kept this long."
    )
    deleted_file_outputs_after_s: float = Field(
        86400, ge=0, description="Results of a deleted file go this long after the file was deleted."
    )
    history_retention_s: float = Field(
        30 * 86400, gt=0, description="What happened to a conversion is told this long, also after its record is gone."
    )
    source_retention_s: float | None = Field(
        None,
        gt=0,
        description="An uploaded file that no conversion needs any more goes after this; default: it is kept for ever.",
    )
    orphan_age_s: float = Field(
        86400,
        gt=0,
        description="An object that belongs to no record goes when it is older; must be longer than any conversion.",
    )

    # Cache of results
    cache: bool = Field(True, description="The same content with the same request is converted once.")
    cache_across_owners: bool = Field(
        False,
        description="Also when another owner asked first. Who asks can then tell that somebody had the same file.",
    )

    # Workers
    worker_slots: int | None = Field(
        None, ge=1, description="Conversions at once in one worker; default: one per core."
    )
    families: str = Field("", description="Comma-separated families this worker takes; empty: all it has programs for.")
    work_dir: str = Field(
        "",
        description="Private folders of running conversions; default: a folder in the system's temp folder.",
    )
    work_reserve_bytes: int = Field(
        256 * MIB,
        ge=0,
        description="A worker takes no work while its work folder's disk has less free space than this.",
    )
    beat_interval_s: float = Field(5, gt=0)
    lease_s: float = Field(20, gt=0)
    max_attempts: int = Field(3, ge=1)
    max_lost: int = Field(5, ge=1)
    retry_base_s: float = Field(10, ge=0)
    retry_max_s: float = Field(300, ge=0)
    stop_grace_s: float = Field(100, ge=0)
    conversion_timeout_s: float = Field(900, gt=0, description="Wall-clock limit of one attempt.")
    media_timeout_s: float = Field(
        6 * 3600, gt=0, description="The same for video and sound: a film takes longer than any document."
    )
    media_cpu_s: int = Field(24 * 3600, ge=1, description="Like engine_cpu_s, for video and sound.")
    engine_memory_bytes: int = Field(4 * GIB, ge=64 * MIB)
    engine_cpu_s: int = Field(900, ge=1)
    engine_output_bytes: int = Field(10 * GIB, ge=1)
    max_pages: int = Field(10_000, ge=1, description="Pages, slides or frames of one source.")
    max_pixels: int = Field(100_000_000, ge=1, description="Pixels of one picture, page or video frame.")
    max_duration_s: float = Field(12 * 3600, gt=0, description="Length of one video or sound.")
    max_streams: int = Field(64, ge=1, description="Tracks of one video or sound.")
    max_faces: int = Field(20_000_000, ge=1, description="Faces of one model.")
    max_archive_entries: int = Field(10_000, ge=1, description="Parts of one ZIP-based document (docx, epub, 3mf …).")
    max_unpacked_bytes: int = Field(2 * GIB, ge=1, description="What such a document may unpack to.")
    sandbox: str = Field("auto", pattern="^(auto|bubblewrap|seccomp|off)$")

    # Deadlines of one call to a server
    mongodb_timeout_s: float = Field(3, gt=0)
    request_mongodb_timeout_s: float = Field(
        0.8,
        gt=0,
        description="The same where a user waits for the answer: rather 503 within a second than a late answer.",
    )
    rabbitmq_timeout_s: float = Field(3, gt=0)
    s3_timeout_s: float = Field(5, gt=0)
    breaker_failures: int = Field(5, ge=1)
    breaker_reset_s: float = Field(2, gt=0)

    # Telemetry
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="Answer Prometheus here; each process needs a port of its own."
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")
    log_format: str = Field("json", pattern="^(json|console)$")

    @field_validator("mongodb_driver")
    @classmethod
    def _require_driver(cls, driver: str) -> str:
        if driver == "motor" and find_spec("motor") is None:
            raise ValueError(
                "Motor is not installed. Run `pip install converto[motor]`, or set CONVERTO_MONGODB_DRIVER=pymongo"
            )
        return driver

    @model_validator(mode="after")
    def _hold_together(self) -> "Settings":
        """Refuse what would delete too early or could never be found."""
        longest_s = max(self.conversion_timeout_s, self.media_timeout_s)
        if self.orphan_age_s <= longest_s:
            raise ValueError(
                f"CONVERTO_ORPHAN_AGE_S ({self.orphan_age_s:g}) must be longer than the longest conversion "
                f"(CONVERTO_CONVERSION_TIMEOUT_S, CONVERTO_MEDIA_TIMEOUT_S: {longest_s:g})"
            )
        if self.record_retention_s <= self.deleted_file_outputs_after_s:
            raise ValueError(
                f"CONVERTO_RECORD_RETENTION_S ({self.record_retention_s:g}) must be longer than "
                f"CONVERTO_DELETED_FILE_OUTPUTS_AFTER_S ({self.deleted_file_outputs_after_s:g}): "
                "the record of a deleted file is what leads to its results"
            )
        return self

    @property
    def family_names(self) -> tuple[str, ...]:
        """The families named in `families`, empty for all."""
        return tuple(name.strip() for name in self.families.split(",") if name.strip())

    @property
    def slots(self) -> int:
        """Conversions at once in one worker process."""
        return self.worker_slots or os.cpu_count() or 1


def load_settings() -> Settings:
    """Read the environment; raises pydantic's `ValidationError`, which names each variable at fault."""
    return Settings()
