"""The first half of a job: the source from the object store into the job's folder, hashed and looked at.

It knows no converter and changes no status.
"""

import asyncio
from pathlib import Path

import msgspec

from conversion_worker.clock import Clock
from conversion_worker.job.workspace import Workspace
from conversion_worker.retry import DeadlineRetry
from converto_core.conversion.processing import record_source
from converto_core.conversion.record import Conversion
from converto_core.errors import BadSource, EngineError, MislabelledSource, SourceGone
from converto_core.files.record import File, FileStatus
from converto_core.object_keys import source_key
from converto_core.ports.objects import Digest, ObjectStore
from converto_core.ports.stores import ConversionStore, FileStore
from converto_engines.sniffing.sniff import decide, sniff_path


class Fetched(msgspec.Struct, frozen=True):
    """A file on this worker's disk, and the hash (hex) of the very bytes that lie there."""

    path: Path
    sha256: str


class Sources:
    """Where sources come from."""

    def __init__(
        self,
        *,
        conversions: ConversionStore,
        files: FileStore,
        objects: ObjectStore,
        workspace: Workspace,
        clock: Clock,
    ) -> None:
        """Everything is passed in; nothing is opened here."""
        self._conversions = conversions
        self._files = files
        self._objects = objects
        self._workspace = workspace
        self._clock = clock

    async def find(self, claimed: Conversion, patience: DeadlineRetry) -> File:
        """The file's record, once it is sure that the disk takes it; raises `SourceGone`."""
        file = await patience.repeat(lambda: self._files.get(claimed.file_id))
        if file is None or file.status is FileStatus.DELETED:
            raise SourceGone()
        # Twice its size: the source itself and a result that is about as large.
        if not await asyncio.to_thread(self._workspace.has_room, 2 * file.size_bytes):
            raise insufficient_storage()
        return file

    async def download(self, claimed: Conversion, file: File, path: Path, patience: DeadlineRetry) -> Digest:
        """Stream the version that was asked for into `path`; both hashes come from the same pass."""
        key = file.key
        if file.version != claimed.file_version:
            key = source_key(claimed.owner, claimed.file_id, claimed.file_version)
        return await patience.repeat(lambda: self._objects.download(key, path))

    async def check(self, claimed: Conversion, file: File, path: Path, digest: Digest) -> None:
        """Raise a `BadSource` unless the bytes are those announced and of the type that was planned for."""
        if file.version == claimed.file_version:
            _check_announced(file, digest)
        filename = claimed.filename or file.filename
        sniffed = await asyncio.to_thread(sniff_path, path, filename=filename)
        found = decide(filename, sniffed)
        if found.name != claimed.source_format:
            planned = (claimed.source_format or "nothing").upper()
            raise MislabelledSource(f"The file was taken for {planned}, but its content is: {found.title}")

    async def append(self, claimed: Conversion, folder: Path, patience: DeadlineRetry) -> tuple[Fetched, ...]:
        """The files that are joined to the source, in order, each checked like the source itself."""
        fetched = []
        for number, entry in enumerate(claimed.appended, start=1):
            path = folder / f"appended-{number}.{claimed.source_format}"
            # To all that looks at it, it is the source of a conversion of its own.
            alone = msgspec.structs.replace(
                claimed, file_id=entry.file_id, file_version=entry.file_version, filename="", appended=()
            )
            try:
                file = await self.find(alone, patience)
                digest = await self.download(alone, file, path, patience)
                await self.check(alone, file, path, digest)
            except BadSource as error:
                told = f"File {number + 1} of {len(claimed.appended) + 1}: {error.public_message}"
                raise type(error)(told, code=error.stable_code, detail=error.detail) from error
            fetched.append(Fetched(path, digest.sha256))
        return tuple(fetched)

    async def remember(
        self, claimed: Conversion, file: File, digest: Digest, patience: DeadlineRetry, *, cache_key: str | None
    ) -> None:
        """Store the hashes with the conversion and, when they are new, with the file (behaviours I2, I3)."""
        source = record_source(claimed, source_sha256=digest.sha256, cache_key=cache_key, now_ms=self._clock.now_ms())
        await patience.repeat(lambda: self._conversions.apply(source))
        if file.version != claimed.file_version or (file.sha256 and file.sha512):
            return
        known = {"sha256": digest.sha256, "sha512": digest.sha512, "updated_at": self._clock.now_ms()}
        await patience.repeat(
            lambda: self._files.update(file.id, version=file.version, expected={FileStatus.UPLOADED}, assign=known)
        )


def insufficient_storage() -> EngineError:
    """The error for a disk that is too full for this file; another try, or another worker, may have room."""
    return EngineError("The worker has too little free disk space for this file", code="insufficient_storage")


def _check_announced(file: File, digest: Digest) -> None:
    if digest.size_bytes != file.size_bytes:
        raise BadSource(
            f"The file has {digest.size_bytes} bytes, but {file.size_bytes} were announced. Please upload it again",
            code="size_mismatch",
        )
    announced = file.declared_sha256 or file.sha256
    if announced is not None and announced.lower() != digest.sha256:
        raise BadSource(
            "The file's SHA-256 is not the one that was announced. Please upload it again", code="checksum_mismatch"
        )
