"""Downloads a job's source into its folder, hashes it, and checks it against the record and the plan."""

import asyncio
from pathlib import Path

import msgspec

from conversion_worker.job.object_calls import ObjectCalls
from conversion_worker.job.workspace import Workspace
from converto_core.conversion.processing import record_source
from converto_core.conversion.record import Conversion
from converto_core.errors import BadSource, EngineError, MislabelledSource, SourceGone, SourceUnreadable
from converto_core.files.record import File, FileStatus
from converto_core.object_keys import source_key
from converto_core.ports.objects import Digest, ObjectStore
from converto_core.ports.stores import ConversionStore, FileStore
from converto_engines.sniffing.sniff import decide, sniff_path
from converto_infra.clock import Clock
from converto_infra.retry import Retry


class Fetched(msgspec.Struct, frozen=True):
    """A file on this worker's disk and the SHA-256 (hex) of its bytes."""

    path: Path
    sha256: str


class Sources:
    """Finds, downloads and checks source files."""

    def __init__(
        self,
        *,
        conversions: ConversionStore,
        files: FileStore,
        objects: ObjectStore,
        workspace: Workspace,
        clock: Clock,
    ) -> None:
        self._conversions = conversions
        self._files = files
        self._objects = objects
        self._object_calls = ObjectCalls(objects, clock)
        self._workspace = workspace
        self._clock = clock

    async def find(self, claimed: Conversion, retry: Retry) -> File:
        """Return the file's record; raise `SourceGone`, or `EngineError` when the disk has no room for the file."""
        file = await retry(lambda: self._files.get(claimed.file_id))
        if file is None or file.status is FileStatus.DELETED:
            raise SourceGone()
        # Twice its size: the source itself and a result that is about as large.
        if not await asyncio.to_thread(self._workspace.has_room, 2 * file.size_bytes):
            raise insufficient_storage()
        return file

    async def download(self, claimed: Conversion, file: File, path: Path, retry: Retry) -> Digest:
        """Stream the requested version into `path`, hashed in the same pass; raise `SourceGone`, `SourceUnreadable`."""
        key = file.key
        if file.version != claimed.file_version:
            key = source_key(claimed.owner, claimed.file_id, claimed.file_version)
        return await self._object_calls.read(lambda: self._objects.download(key, path), retry)

    async def check(self, claimed: Conversion, file: File, path: Path, digest: Digest) -> None:
        """Raise `BadSource` unless the bytes match the declared size and hash and the planned type."""
        if file.version == claimed.file_version:
            _check_declared(file, digest)
        filename = claimed.filename or file.filename
        sniffed = await asyncio.to_thread(sniff_path, path, filename=filename)
        found = decide(filename, sniffed, has_password=claimed.has_password)
        if found.name != claimed.source_format:
            planned = (claimed.source_format or "nothing").upper()
            raise MislabelledSource(f"The file was expected to be {planned}, but its content is: {found.title}")

    async def fetch_appended(self, claimed: Conversion, folder: Path, retry: Retry) -> tuple[Fetched, ...]:
        """Download the files that are joined to the source, in order, each checked like the source itself."""
        fetched = []
        for number, entry in enumerate(claimed.appended, start=1):
            path = folder / f"appended-{number}.{claimed.source_format}"
            # Checked as if it were the source of a conversion of its own.
            alone = msgspec.structs.replace(
                claimed, file_id=entry.file_id, file_version=entry.file_version, filename="", appended=()
            )
            try:
                file = await self.find(alone, retry)
                digest = await self.download(alone, file, path, retry)
                await self.check(alone, file, path, digest)
            except (BadSource, SourceUnreadable) as error:
                message = f"File {number + 1} of {len(claimed.appended) + 1}: {error.public_message}"
                raise type(error)(message, code=error.stable_code, detail=error.detail) from error
            fetched.append(Fetched(path, digest.sha256))
        return tuple(fetched)

    async def store_hashes(
        self, claimed: Conversion, file: File, digest: Digest, retry: Retry, *, cache_key: str | None
    ) -> None:
        """Store the hashes with the conversion and, when they are new, with the file (behaviours I2, I3)."""
        source = record_source(claimed, source_sha256=digest.sha256, cache_key=cache_key, now_ms=self._clock.now_ms())
        await retry(lambda: self._conversions.apply(source))
        if file.version != claimed.file_version or (file.sha256 and file.sha512):
            return
        hashes = {"sha256": digest.sha256, "sha512": digest.sha512, "updated_at": self._clock.now_ms()}
        await retry(
            lambda: self._files.update(file.id, version=file.version, expected={FileStatus.UPLOADED}, assign=hashes)
        )


def insufficient_storage() -> EngineError:
    """Return the error for a disk without room for this file; a later attempt, or another worker, may have room."""
    return EngineError("The worker has too little free disk space for this file", code="insufficient_storage")


def _check_declared(file: File, digest: Digest) -> None:
    if digest.size_bytes != file.size_bytes:
        raise BadSource(
            f"The uploaded file has {digest.size_bytes} bytes, but {file.size_bytes} were declared. "
            "Please upload it again",
            code="size_mismatch",
        )
    declared = file.declared_sha256 or file.sha256
    if declared is not None and declared.lower() != digest.sha256:
        other = "declared one" if file.declared_sha256 else "one of its upload, so it was damaged in the object store"
        raise BadSource(
            f"The SHA-256 of the uploaded file differs from the {other}. Please upload it again",
            code="checksum_mismatch",
        )
