"""All settings of the services: read from the environment (`CONVERTO_…`), validated, secrets masked."""

import os
import re
import sys
from importlib.util import find_spec
from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from converto_core.caller import MAX_OWNER_LENGTH, TOKEN_OWNER_PREFIX, is_key_owner
from converto_infra import secure_url
from converto_infra.connection_url import missing_authorities, with_login

KIB, MIB, GIB = 1024, 1024**2, 1024**3
DAY_S = 86_400
TOKEN_NAME_CHARACTERS = frozenset(map(chr, range(0x21, 0x7F))) - {'"', "\\"}
"""Of scopes (RFC 6749); they are quoted in the header `WWW-Authenticate`."""
NO_OWNER_CLAIMS = frozenset(
    {"", "iss", "aud", "exp", "nbf", "iat", "jti", "scope", "scp", "token_use", "typ"}
    | {"azp", "client_id", "cid", "appid", "auth_time", "nonce", "acr", "amr", "sid", "origin_jti", "event_id"}
)
"""Claims that all users or those of one client share, or that differ with each token or session."""
LONGEST_S = 100 * 365 * DAY_S
"""Times in milliseconds are stored as 64-bit integers; a century is also beyond every sensible setting."""
MAX_URL_TTL_S = 7 * DAY_S  # the longest that S3 signs
SEALING_KEY = re.compile("[0-9a-fA-F]{64}")
NO_SEALING_KEY = "none"
"""Like no key: what a deployment sets until it has one."""


class Settings(BaseSettings):
    """One flat list for all services, so that one environment file configures a whole installation."""

    # Values stay out of error messages, because some of them are secrets.
    model_config = SettingsConfigDict(
        env_prefix="CONVERTO_", extra="ignore", frozen=True, hide_input_in_errors=True, allow_inf_nan=False
    )

    # Database, broker and object store
    mongodb_url: SecretStr = SecretStr("mongodb://127.0.0.1:27017")
    mongodb_user: str | None = Field(None, description="Put into mongodb_url, which then names no user.")
    mongodb_password: SecretStr | None = None
    mongodb_database: str = "converto"
    mongodb_driver: Literal["pymongo", "motor"] = Field(
        "pymongo",
        description="MongoDB driver: PyMongo's asyncio client, or Motor (end of life since May 2026), which needs "
        "`pip install converto[motor]`.",
    )
    mongodb_retry_writes: bool = False  # by the driver itself; needs a replica set
    rabbitmq_url: SecretStr = SecretStr("amqp://guest:guest@127.0.0.1:5672/")
    rabbitmq_user: str | None = Field(None, description="Put into rabbitmq_url, which then names no user.")
    rabbitmq_password: SecretStr | None = None
    s3_endpoint_url: str | None = None  # None: AWS
    s3_public_endpoint_url: str | None = Field(
        None, description="Endpoint for presigned URLs when clients reach the object store by another host name."
    )
    s3_bucket: str = "converto"
    s3_region: str = "us-east-1"
    s3_access_key_id: str | None = None
    s3_secret_access_key: SecretStr | None = None
    s3_addressing_style: Literal["path", "virtual"] = "path"
    s3_create_bucket: bool = False  # at start-up, if it is missing

    # File service
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    public_url: str | None = None  # how clients reach this service, for links; None: relative links
    bootstrap_api_key: SecretStr | None = Field(
        None, description="API key (cvt_<id>_<secret>) that the file service creates at start-up if it is missing."
    )
    bootstrap_owner: str = "local"
    max_file_bytes: PositiveInt = 50 * GIB
    max_form_bytes: PositiveInt = Field(
        16 * MIB, description="Largest file accepted inside a multipart/form-data request."
    )
    multipart_threshold_bytes: PositiveInt = 64 * MIB  # larger files are uploaded in parts
    part_size_bytes: int = Field(16 * MIB, ge=5 * MIB)
    upload_url_ttl_s: int = Field(900, ge=1, le=MAX_URL_TTL_S)
    download_url_ttl_s: int = Field(300, ge=1, le=MAX_URL_TTL_S)
    upload_deadline_s: PositiveFloat = Field(DAY_S, description="An upload that takes longer is abandoned.")
    upload_looks_s: Annotated[tuple[PositiveFloat, ...], NoDecode] = Field(
        (60, 300, 900, 3600, 4 * 3600, 12 * 3600),
        description="Ages, separated by commas, at which the file service looks whether an upload has arrived that "
        "nobody has confirmed: soon at first, because most uploads take seconds; seldom later.",
    )
    upload_events_queue_url: str | None = Field(
        None, description="URL of the SQS queue that receives the bucket's s3:ObjectCreated events; default: none."
    )
    idempotency_ttl_s: PositiveInt = DAY_S  # how long a repeated Idempotency-Key gets the first answer
    max_wait_s: NonNegativeInt = Field(60, description="Longest `Prefer: wait=N` that is honoured.")
    offers_ttl_s: PositiveInt = Field(
        7 * DAY_S, description="A route is offered this long after its last worker was seen (scale to zero)."
    )
    sse_ping_s: PositiveFloat = 15  # a silent live stream sends a comment this often, so that proxies keep it open
    sse_poll_s: PositiveFloat = Field(2, description="Interval at which a live stream re-reads the record.")
    max_requests: PositiveInt = Field(
        32,
        description="Upper concurrency limit of one file service; it is lowered while a dependency is overloaded. "
        "Requests above the limit get 503 at once.",
    )
    max_live_streams: PositiveInt = Field(
        500, description="Concurrency limit of live streams and of requests that wait for a result."
    )
    max_pending_per_owner: PositiveInt = Field(
        100_000, description="Pending conversions of one owner; new ones above this are refused."
    )

    # Access tokens, accepted beside API keys when an issuer is set
    jwt_issuer: str | None = Field(
        None, description="OpenID Connect issuer, exactly as the claim `iss` of its tokens names it."
    )
    jwt_audience: str = Field(
        "", description="Comma-separated audiences; a token must name one. Amazon Cognito: the ids of the app clients."
    )
    jwt_jwks_url: str | None = Field(
        None, description="URL of the issuer's key set; default: found by OpenID Connect discovery."
    )
    jwt_owner_claim: str = Field("sub", description="Claim that names the owner; it must never change for a user.")
    jwt_scope_prefix: str = Field("", description="Prefix of the scopes in tokens, such as Amazon Cognito's converto/.")
    jwt_leeway_s: float = Field(30, ge=0, le=300, description="How far the issuer's clock may differ.")

    # Passwords of sources
    sealing_key: SecretStr | None = Field(
        None,
        description="Protects the passwords of sources in the database: 64 hexadecimal digits, as `openssl rand -hex "
        "32` prints them, the same for all services. Of several, separated by commas, the first seals and all open; "
        "without one, or with `none`, requests with a password are refused.",
    )

    # Housekeeping
    sweep_interval_s: PositiveFloat = 1  # of the outbox and the reaper
    republish_after_s: PositiveFloat = Field(
        600,
        description="A message that no worker has claimed is published again after this time, then after 2x, 4x …; "
        "lost messages are detected sooner.",
    )
    republish_max_s: PositiveFloat = 3600  # the longest time until a message is published again
    parked_retention_s: PositiveFloat = Field(
        30 * DAY_S, description="Dead letters are kept this long for an administrator."
    )
    result_retention_s: PositiveFloat = Field(
        7 * DAY_S, description="Results are kept this long after completion; then the conversion is expired."
    )
    failure_retention_s: PositiveFloat = Field(
        7 * DAY_S, description="Failed, cancelled and never uploaded conversions are deleted this long after they end."
    )
    record_retention_s: PositiveFloat = Field(
        30 * DAY_S, description="Records of expired results and deleted files are kept this long."
    )
    deleted_file_outputs_after_s: NonNegativeFloat = Field(
        DAY_S, description="Results of a deleted file are deleted this long after the file."
    )
    history_retention_s: PositiveFloat = Field(
        30 * DAY_S, description="History entries are kept this long, even after the conversion's record is deleted."
    )
    source_retention_s: PositiveFloat | None = Field(
        None, description="A file that no conversion needs any more is deleted after this time; default: never."
    )
    orphan_age_s: PositiveFloat = Field(
        DAY_S,
        description="An object without a record is deleted when it is older; must exceed the longest conversion.",
    )

    # Result cache
    cache: bool = Field(True, description="Convert the same content with the same request only once.")
    cache_across_owners: bool = Field(
        False, description="Share results between owners. An owner can then tell that somebody had the same file."
    )

    # Workers
    worker_slots: PositiveInt | None = Field(
        None, description="Concurrent conversions of one worker; default: one per core."
    )
    families: str = Field(
        "", description="Comma-separated families that this worker takes; default: all whose programs are installed."
    )
    work_dir: str = Field(
        "", description="Parent of the private folders of running conversions; default: the system's temp folder."
    )
    work_reserve_bytes: NonNegativeInt = Field(
        256 * MIB, description="A worker takes no work while the disk of work_dir has less free space than this."
    )
    beat_interval_s: PositiveFloat = 5  # how often a worker renews its lease
    lease_s: PositiveFloat = 20  # a worker whose lease is not renewed for this long is lost
    max_attempts: PositiveInt = 3  # failures of the engine until a conversion fails
    max_lost: PositiveInt = 5  # lost workers until a conversion fails
    retry_base_s: NonNegativeFloat = 10  # longest wait after the first failure of an engine; doubled with each
    retry_max_s: NonNegativeFloat = 300  # the longest wait after any failure
    stop_grace_s: NonNegativeFloat = 100  # for running conversions after SIGTERM; requests get 30 s at most
    conversion_timeout_s: PositiveFloat = Field(900, description="Wall-clock limit of one attempt.")
    media_timeout_s: PositiveFloat = Field(
        6 * 3600, description="Wall-clock limit of one attempt for video and audio, which take longer than documents."
    )
    media_cpu_s: PositiveInt = Field(24 * 3600, description="Like engine_cpu_s, for video and audio.")
    engine_memory_bytes: int = Field(4 * GIB, ge=64 * MIB)  # of one program
    engine_cpu_s: PositiveInt = 900  # processor time of one program
    engine_output_bytes: PositiveInt = 10 * GIB  # largest file that a program may write
    max_pages: PositiveInt = Field(10_000, description="Pages, slides or frames of one source.")
    max_pixels: PositiveInt = Field(100_000_000, description="Pixels of one picture, page or video frame.")
    max_duration_s: PositiveFloat = Field(12 * 3600, description="Duration of one video or audio source.")
    max_streams: PositiveInt = Field(64, description="Tracks of one video or audio source.")
    max_faces: PositiveInt = Field(20_000_000, description="Faces of one model.")
    max_archive_entries: PositiveInt = Field(
        10_000, description="Entries of one ZIP-based document (docx, epub, 3mf …)."
    )
    max_unpacked_bytes: PositiveInt = Field(2 * GIB, description="Unpacked size of one ZIP-based document.")
    sandbox: Literal["auto", "bubblewrap", "seccomp", "off"] = "auto"

    # Deadline of one call to a server, and its circuit breaker
    mongodb_timeout_s: PositiveFloat = 3
    request_mongodb_timeout_s: PositiveFloat = Field(
        0.8, description="Like mongodb_timeout_s while a user waits: 503 within a second is better than a late answer."
    )
    request_timeout_s: PositiveFloat = Field(
        1.25, description="Time of all calls of one request together; then it is answered with 503."
    )
    rabbitmq_timeout_s: PositiveFloat = 3
    s3_timeout_s: PositiveFloat = 5
    breaker_failures: PositiveInt = 5  # in a row; then calls are refused at once
    breaker_reset_s: PositiveFloat = 2  # until one call tries whether the server is back

    # Telemetry
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="Port of GET /metrics for Prometheus; each process needs its own."
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    @field_validator("*")
    @classmethod
    def _check_times(cls, value: object, field: ValidationInfo) -> object:
        times = value if isinstance(value, tuple) else (value,)
        is_time = (field.field_name or "").endswith("_s")
        if is_time and any(isinstance(time, int | float) and time > LONGEST_S for time in times):
            raise ValueError(f"must be at most {LONGEST_S} seconds, a century")
        return value

    @field_validator("bootstrap_owner")
    @classmethod
    def _check_owner(cls, owner: str) -> str:
        if not is_key_owner(owner):
            raise ValueError(
                f"must be 1 to {MAX_OWNER_LENGTH} letters, digits and ._- and must not start with "
                f"{TOKEN_OWNER_PREFIX}, which starts the owners of access tokens"
            )
        return owner

    @field_validator("mongodb_driver")
    @classmethod
    def _require_driver(cls, driver: str) -> str:
        if driver == "motor" and find_spec("motor") is None:
            raise ValueError(
                "Motor is not installed. Run `pip install converto[motor]`, or set CONVERTO_MONGODB_DRIVER=pymongo"
            )
        return driver

    @field_validator("upload_looks_s", mode="before")
    @classmethod
    def _split_ages(cls, ages: object) -> object:
        return [age for age in ages.split(",") if age.strip()] if isinstance(ages, str) else ages

    @field_validator("upload_looks_s")
    @classmethod
    def _check_ages(cls, ages: tuple[float, ...]) -> tuple[float, ...]:
        if list(ages) != sorted(set(ages)):
            raise ValueError("Name each age once, the youngest first, such as 60,300,900")
        return ages

    @field_validator("upload_events_queue_url")
    @classmethod
    def _check_queue_url(cls, url: str | None) -> str | None:
        if url and (fault := secure_url.fault_of(url)):
            raise ValueError(
                "Give the URL of the queue, such as https://sqs.eu-west-1.amazonaws.com/123456789012/name; "
                f"this one {fault}"
            )
        return url or None

    @field_validator("sealing_key")
    @classmethod
    def _check_sealing_keys(cls, keys: SecretStr | None) -> SecretStr | None:
        if not all(SEALING_KEY.fullmatch(key) for key in _sealing_keys(keys)):
            raise ValueError(
                "must be 64 hexadecimal digits, as `openssl rand -hex 32` prints them; separate several by commas"
            )
        return keys

    @model_validator(mode="after")
    def _check_logins(self) -> "Settings":
        """Reject half a login, and one beside a URL that names a user."""
        for server in ("mongodb", "rabbitmq"):
            try:
                self._url(server)
            except ValueError as error:
                raise ValueError(
                    f"CONVERTO_{server.upper()}_USER and CONVERTO_{server.upper()}_PASSWORD do not fit "
                    f"CONVERTO_{server.upper()}_URL: {error}. Give both of them and a URL without a login, "
                    "or only a URL"
                ) from None
        return self

    @field_validator("jwt_issuer", "jwt_jwks_url", mode="before")
    @classmethod
    def _empty_is_unset(cls, url: object) -> object:
        return url or None  # deployments pass an empty variable where nothing is configured

    @field_validator("jwt_issuer", "jwt_jwks_url")
    @classmethod
    def _require_secure_url(cls, url: str | None) -> str | None:
        if url is not None and (fault := secure_url.fault_of(url)):
            raise ValueError(f"{fault}, because whoever answers there decides which tokens are valid")
        return url

    @field_validator("jwt_owner_claim", "jwt_scope_prefix")
    @classmethod
    def _require_token_name(cls, name: str) -> str:
        if not all(character in TOKEN_NAME_CHARACTERS for character in name):
            raise ValueError('must be printable ASCII without spaces, " and \\')
        return name

    @model_validator(mode="after")
    def _check_tokens(self) -> "Settings":
        """Reject settings under which tokens for other services would be accepted, or none at all."""
        if self.jwt_issuer and not self.jwt_audiences:
            raise ValueError(
                "CONVERTO_JWT_AUDIENCE is required with CONVERTO_JWT_ISSUER: without it, every token that the issuer "
                "makes for any other service would be accepted here"
            )
        if not self.jwt_issuer and (self.jwt_audiences or self.jwt_jwks_url):
            raise ValueError(
                "CONVERTO_JWT_AUDIENCE and CONVERTO_JWT_JWKS_URL need CONVERTO_JWT_ISSUER; without it, access tokens "
                "are not accepted"
            )
        if self.jwt_owner_claim in NO_OWNER_CLAIMS:
            raise ValueError(
                f"CONVERTO_JWT_OWNER_CLAIM must tell users apart, as sub does; {self.jwt_owner_claim!r} does not"
            )
        return self

    @model_validator(mode="after")
    def _check_retention(self) -> "Settings":
        """Reject settings that would delete objects too early or leave some behind for ever."""
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
                "the results of a deleted file are found through its record"
            )
        return self

    @property
    def database_url(self) -> SecretStr:
        """`mongodb_url` with the login that is set apart from it."""
        return self._url("mongodb")

    @property
    def broker_url(self) -> SecretStr:
        """`rabbitmq_url` with the login that is set apart from it."""
        return self._url("rabbitmq")

    def _url(self, server: str) -> SecretStr:
        url: SecretStr = getattr(self, f"{server}_url")
        user: str | None = getattr(self, f"{server}_user")
        password: SecretStr | None = getattr(self, f"{server}_password")
        if not user and not password:
            return url
        if not user or not password:
            raise ValueError("the user or the password is missing")
        return SecretStr(with_login(url.get_secret_value(), user, password.get_secret_value()))

    @property
    def sealing_keys(self) -> tuple[bytes, ...]:
        """The keys in `sealing_key`, 32 bytes each; empty when passwords are not accepted."""
        return tuple(bytes.fromhex(key) for key in _sealing_keys(self.sealing_key))

    @property
    def family_names(self) -> tuple[str, ...]:
        """The names in `families`; empty for all."""
        return tuple(name.strip() for name in self.families.split(",") if name.strip())

    @property
    def jwt_audiences(self) -> frozenset[str]:
        """The audiences in `jwt_audience`."""
        return frozenset(name.strip() for name in self.jwt_audience.split(",") if name.strip())

    @property
    def slots(self) -> int:
        """Concurrent conversions of one worker process."""
        return self.worker_slots or os.cpu_count() or 1


def _sealing_keys(setting: SecretStr | None) -> list[str]:
    text = setting.get_secret_value().strip() if setting else ""
    return [key.strip() for key in text.split(",")] if text not in {"", NO_SEALING_KEY} else []


def load_settings() -> Settings | None:
    """Read the environment; None after a report on stderr if a variable is invalid."""
    try:
        settings = Settings()
    except ValidationError as error:
        sys.stderr.write(f"Invalid settings. Correct these CONVERTO_... environment variables:\n{error}\n")
        return None
    if missing := missing_authorities(settings.mongodb_url.get_secret_value()):
        sys.stderr.write(f"CONVERTO_MONGODB_URL: tlsCAFile names {missing}, but there is no such file\n")
        return None
    return settings
