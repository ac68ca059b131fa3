"""One LibreOffice that is kept running for one slot: started, asked, counted, and replaced before it grows too large.

It knows the driver's words and what they mean as errors; it does not know what is converted.
"""

import asyncio
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from converto_core.errors import (
    BadOptions,
    BadSource,
    ConversionError,
    CorruptSource,
    EncryptedSource,
    EngineCrashed,
    EngineError,
    EngineMissing,
    SourceTooLarge,
)
from converto_engines.converter import Limits
from converto_engines.office import profile as office_profile
from converto_engines.runtime import interpreter
from converto_engines.runtime.process import ChildProcess, Sandbox

_PROGRAMS = ("/usr/lib/libreoffice/program", "/usr/lib64/libreoffice/program")
_PYTHON = "/usr/bin/python3"  # the system's, because the package python3-uno belongs to it
_DRIVER = "office.sandboxed.driver"
_RESTART_DOCUMENTS = 50  # measured: memory grows from 229 to 760 MB over 141 documents
_RESTART_BYTES = 600 * 1024**2
_START_S = 75.0  # the driver itself gives up after 60 s, with a better message
_MOST_STARTS = 4  # LibreOffice ends once or twice while it prepares a fresh profile
_PING_S = 5.0
_CLOSE_S = 30.0  # closing a large sheet frees millions of cells
_STOP_S = 10.0
_VERSION_LIMITS = Limits(wall_s=20, cpu_s=10, memory_bytes=1024**3, file_bytes=16 * 1024**2)


class WarmOffice:
    """Starts LibreOffice when it is first needed, and again after 50 documents, above 600 MB or after any trouble."""

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        work_dir: Path | None = None,
        restart_documents: int = _RESTART_DOCUMENTS,
        restart_bytes: int = _RESTART_BYTES,
    ) -> None:
        """`work_dir` holds the profile and the slot's folder; None: the system's temporary folder."""
        self._sandbox, self._work_dir = sandbox, work_dir
        self._restart_documents, self._restart_bytes = restart_documents, restart_bytes
        self._slot: office_profile.SlotFolder | None = None
        self._child: ChildProcess | None = None
        self._documents = 0
        self._version: str | None = None
        self.pdfium = _pdfium()

    @property
    def pid(self) -> int | None:
        """Process group of the running LibreOffice; None while there is none."""
        return self._child.pid if self._child is not None and self._child.is_alive else None

    async def version(self) -> str | None:
        """Version such as 7.4.7.2; None when a program it needs is not installed."""
        if self._version is None:
            self._version = await self._ask_version()
        return self._version

    async def room(self) -> Path:
        """A fresh folder for one conversion, below the folder that LibreOffice sees."""
        if self._slot is None:
            self._slot = await asyncio.to_thread(office_profile.SlotFolder.make, self._work_dir)
        return Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="job-", dir=self._slot.path))

    def path_inside(self, path: Path) -> str:
        """How LibreOffice has to call a file in a room."""
        return self._sandbox.path_inside(self._folder, path)

    async def make_ready(self, limits: Limits) -> None:
        """See that LibreOffice runs; one that died while nobody looked is replaced."""
        if self._child is not None and not await self._answers(self._child):
            await self.stop()
        if self._child is None:
            self._child, self._documents = await self._start(limits), 0

    async def ask(
        self, command: str, *, timeout_s: float, limits: Limits | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """One command to the driver; its refusals come as errors. After a failure of the program it is not reused."""
        if self._child is None:
            raise EngineCrashed(detail="LibreOffice is not running")
        try:
            answer = await self._child.request({"command": command, **arguments}, timeout_s=timeout_s, limits=limits)
            _raise_refusal(answer)
        except (BadOptions, BadSource):
            raise
        except BaseException:
            await self.stop()
            raise
        return answer

    async def rest(self) -> None:
        """A conversion is over: close its document; end LibreOffice when it did its share or has grown too large."""
        if self._child is None:
            return
        self._documents += 1
        with suppress(ConversionError):
            await self.ask("close", timeout_s=_CLOSE_S)
        child = self._child
        if child is None:
            return
        if self._documents >= self._restart_documents or child.resident_bytes() > self._restart_bytes:
            await self.stop()

    async def stop(self) -> None:
        """End LibreOffice now."""
        child, self._child = self._child, None
        if child is not None:
            await child.stop(grace_s=0)
            await asyncio.to_thread(office_profile.remove_sockets, self._folder)

    async def aclose(self) -> None:
        """End LibreOffice and remove its folder."""
        await self.stop()
        slot, self._slot = self._slot, None
        if slot is not None:
            await asyncio.to_thread(slot.remove)

    @property
    def _folder(self) -> Path:
        if self._slot is None:
            raise EngineCrashed(detail="no room was asked for")
        return self._slot.path

    async def _answers(self, child: ChildProcess) -> bool:
        try:
            return child.is_alive and not (await child.request({"command": "ping"}, timeout_s=_PING_S))
        except ConversionError:
            return False

    async def _start(self, limits: Limits) -> ChildProcess:
        ready = office_profile.ready_profile(await self.version() or "none", self._work_dir)
        if not ready.exists():
            await self._prepare(ready, limits)
        profile = self._folder / office_profile.PROFILE
        await asyncio.to_thread(office_profile.copy_ready, ready, profile)
        return await self._launch(profile, limits)

    async def _prepare(self, ready: Path, limits: Limits) -> None:
        """Let LibreOffice fill in a fresh profile once; all later starts copy it."""
        profile = self._folder / office_profile.FRESH_PROFILE
        await asyncio.to_thread(shutil.rmtree, profile, ignore_errors=True)
        await asyncio.to_thread(office_profile.write_settings, profile)
        child = await self._launch(profile, limits)
        await child.stop(grace_s=_STOP_S)  # it writes its settings when it leaves
        await asyncio.to_thread(office_profile.remove_sockets, self._folder)
        await asyncio.to_thread(office_profile.keep_as_ready, profile, ready)

    async def _launch(self, profile: Path, limits: Limits) -> ChildProcess:
        program = _program()
        child = await self._sandbox.start(
            interpreter.argv(_DRIVER, python=_PYTHON),
            folder=self._folder,
            limits=limits,
            readable=(self.pdfium.parent,) if self.pdfium else (),
            environment={"LC_ALL": "C.UTF-8"},
        )
        start = {
            "command": "start",
            "program": str(program),
            "profile": self.path_inside(profile),
            "pipe": self._folder.name,
        }
        try:
            answer = await child.request(start, timeout_s=_START_S)
            for _ in range(_MOST_STARTS - 1):
                if answer.get("error") != "start_again":
                    break
                await asyncio.to_thread(office_profile.remove_sockets, self._folder)
                answer = await child.request(start, timeout_s=_START_S)
            _raise_refusal(answer)
        except BaseException:
            await child.stop(grace_s=0)
            raise
        return child

    async def _ask_version(self) -> str | None:
        """Ask the driver, so that a missing python3-uno shows here and not at the first conversion."""
        argv = [*interpreter.argv(_DRIVER, python=_PYTHON), "--version"]
        with tempfile.TemporaryDirectory(prefix="converto-office-") as folder:
            try:
                told = await self._sandbox.run([*argv, str(_program())], folder=Path(folder), limits=_VERSION_LIMITS)
            except ConversionError:
                return None
        return told.stdout.decode().strip() or None if told.exit_code == 0 else None


def _pdfium() -> Path | None:
    """The library with which the driver reads what LibreOffice wrote: a process for that costs more than a letter."""
    packages = interpreter.package_folders("pypdfium2_raw")
    library = packages[0] / "pypdfium2_raw" / "libpdfium.so" if packages else None
    return library if library is not None and library.is_file() else None


def _program() -> Path:
    for place in _PROGRAMS:
        if (Path(place) / "soffice.bin").exists():
            return Path(place)
    raise EngineMissing("LibreOffice is not installed on this worker; install the packages libreoffice and python3-uno")


def _raise_refusal(answer: dict[str, Any]) -> None:
    word, detail = answer.get("error"), str(answer.get("detail", ""))
    if word is None:
        return
    if word == "encrypted":
        raise EncryptedSource
    if word == "unreadable":
        raise CorruptSource(detail=detail)
    if word == "too_large":
        raise SourceTooLarge("The file holds more than is allowed for one file, once it is unpacked")
    if word == "no_such_pages":
        raise BadOptions("None of the pages asked for is in this document")
    if word == "failed":
        raise EngineError("LibreOffice opened the document but could not write it in the new format", detail=detail)
    if word in {"start", "start_again"}:
        raise EngineError("LibreOffice did not start on this worker", detail=detail)
    raise EngineCrashed(detail=f"{word} {detail}")
