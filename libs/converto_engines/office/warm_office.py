"""Keeps one LibreOffice running for a slot, sends it commands, and replaces it before it grows too large."""

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
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
    WrongPassword,
)
from converto_engines.converter import ANSWER_WITHIN_S, Limits
from converto_engines.office.colour_fonts import ColourFonts, draws_colours
from converto_engines.office.profile import (
    FRESH_PROFILE,
    PROFILE,
    SINGLE_PROFILE,
    SlotFolder,
    copy_template,
    remove_sockets,
    save_template,
    template_profile,
    write_settings,
)
from converto_engines.pdf.pdfium import find_library
from converto_engines.runtime import interpreter
from converto_engines.runtime.process import ChildProcess, ProcessResult, Sandbox
from converto_engines.runtime.sandboxed import launch

_PROGRAMS = ("/usr/lib/libreoffice/program", "/usr/lib64/libreoffice/program")
_PYTHON = "/usr/bin/python3"  # the system's, because the package python3-uno belongs to it
_DRIVER = "office.sandboxed.driver"
_RESTART_DOCUMENTS = 50  # measured: memory grows from 229 to 760 MB over 141 documents
_RESTART_BYTES = 600 * 1024**2
_START_S = 75.0  # the driver gives up after 60 s with a better message
_MOST_STARTS = 4  # LibreOffice exits once or twice while it prepares a fresh profile
_PING_S = 5.0
_CLOSE_S = 30.0  # closing a large sheet frees millions of cells
_STOP_S = 10.0
_SHOWN_CHARACTERS = 400
_VERSION_LIMITS = Limits(wall_s=ANSWER_WITHIN_S, cpu_s=10, memory_bytes=1024**3, file_bytes=16 * 1024**2)


class WarmOffice:
    """Starts LibreOffice on first use, and restarts it after 50 documents, above 600 MB or after a failure."""

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        work_dir: Path | None = None,
        restart_documents: int = _RESTART_DOCUMENTS,
        restart_bytes: int = _RESTART_BYTES,
        python: str = _PYTHON,
    ) -> None:
        """`work_dir` holds the template profile and the slot's folder (None: the temporary one); `python` has `uno`."""
        self._sandbox, self._work_dir, self._python = sandbox, work_dir, python
        self._restart_documents, self._restart_bytes = restart_documents, restart_bytes
        self._slot: SlotFolder | None = None
        self._child: ChildProcess | None = None
        self._documents = 0
        self._version: str | None = None
        self._question: asyncio.Task[str | None] | None = None
        # The driver counts pages itself, because starting a process for it takes longer than a short letter.
        self.pdfium = find_library()
        self.colour_fonts = ColourFonts(sandbox)

    @property
    def pid(self) -> int | None:
        """The process group of the running LibreOffice; None when it is not running."""
        return self._child.pid if self._child is not None and self._child.is_alive else None

    async def version(self) -> str | None:
        """Return a version such as 7.4.7.2; None when LibreOffice or python3-uno is not installed.

        The converters that share this LibreOffice share one question too. Raises an `EngineError` without an answer.
        """
        if self._version is None:
            if self._question is None or self._question.done():
                self._question = asyncio.create_task(self._ask_version(), name="version of LibreOffice")
            self._version = await asyncio.shield(self._question)
        return self._version

    async def create_folder(self) -> Path:
        """Create a folder for one conversion, below the folder that LibreOffice sees."""
        if self._slot is None:
            self._slot = await asyncio.to_thread(SlotFolder.create, self._work_dir)
        return Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="job-", dir=self._slot.path))

    def path_inside(self, path: Path) -> str:
        """Return the path of a file in such a folder as LibreOffice sees it."""
        return self._sandbox.path_inside(self._folder, path)

    async def ensure_running(self, limits: Limits) -> None:
        """Start LibreOffice if it is not running or no longer responds."""
        if self._child is not None and not await self._responds(self._child):
            await self.stop()
        if self._child is None:
            self._child, self._documents = await self._start(limits), 0

    async def request(
        self, command: str, *, timeout_s: float, limits: Limits | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """Send one command to the driver and raise its refusals; LibreOffice is stopped after any other failure."""
        if self._child is None:
            raise EngineCrashed(detail="LibreOffice is not running")
        try:
            response = await self._child.request({"command": command, **arguments}, timeout_s=timeout_s, limits=limits)
            _raise_refusal(response)
        except (BadOptions, BadSource):
            raise
        except BaseException:
            await self.stop()
            raise
        return response

    async def run_alone(self, arguments: Sequence[str], *, limits: Limits) -> ProcessResult:
        """Run another LibreOffice with these arguments to its end, beside the warm one or in its place.

        Raises like `Sandbox.run`.
        """
        profile = self._folder / SINGLE_PROFILE
        await asyncio.to_thread(copy_template, await self._template(limits), profile)
        home = f"-env:UserInstallation=file://{self.path_inside(profile)}"
        argv = [str(_program() / "soffice.bin"), home, "--headless", "--norestore", "--nolockcheck", *arguments]
        environment = {**await self._environment(profile), "SAL_USE_VCLPLUGIN": "svp"}
        try:
            return await self._sandbox.run(argv, folder=self._folder, limits=limits, environment=environment)
        finally:
            await asyncio.to_thread(remove_sockets, self._folder)

    async def finish_conversion(self) -> None:
        """Close the document; stop LibreOffice when it has reached its limit of documents or memory."""
        if self._child is None:
            return
        self._documents += 1
        with suppress(ConversionError):
            await self.request("close", timeout_s=_CLOSE_S)
        child = self._child
        if child is None:
            return
        if self._documents >= self._restart_documents or child.resident_bytes() > self._restart_bytes:
            await self.stop()

    async def stop(self) -> None:
        """Kill LibreOffice."""
        child, self._child = self._child, None
        if child is not None:
            await child.stop(grace_s=0)
            await asyncio.to_thread(remove_sockets, self._folder)

    async def aclose(self) -> None:
        """Kill LibreOffice and remove its folder."""
        if self._question is not None:
            self._question.cancel()
            await asyncio.gather(self._question, return_exceptions=True)
        await self.stop()
        slot, self._slot = self._slot, None
        if slot is not None:
            await asyncio.to_thread(slot.remove)

    @property
    def _folder(self) -> Path:
        if self._slot is None:
            raise EngineCrashed(detail="create_folder was not called")
        return self._slot.path

    async def _responds(self, child: ChildProcess) -> bool:
        try:
            return child.is_alive and not (await child.request({"command": "ping"}, timeout_s=_PING_S))
        except ConversionError:
            return False

    async def _start(self, limits: Limits) -> ChildProcess:
        profile = self._folder / PROFILE
        await asyncio.to_thread(copy_template, await self._template(limits), profile)
        return await self._launch(profile, limits)

    async def _template(self, limits: Limits) -> Path:
        """Return the template profile, which is made if it does not exist."""
        template = template_profile(await self._version_or_none(), self._work_dir)
        if not template.exists():
            await self._prepare(template, limits)
        return template

    async def _version_or_none(self) -> str:
        """The version only names the template, so a conversion goes on without it."""
        with suppress(ConversionError):
            return await self.version() or "none"
        return "none"

    async def _prepare(self, template: Path, limits: Limits) -> None:
        """Let LibreOffice complete a fresh profile once; all later starts copy it."""
        profile = self._folder / FRESH_PROFILE
        await asyncio.to_thread(shutil.rmtree, profile, ignore_errors=True)
        await asyncio.to_thread(write_settings, profile)
        child = await self._launch(profile, limits)
        await child.stop(grace_s=_STOP_S)  # it saves its settings when it exits
        await asyncio.to_thread(remove_sockets, self._folder)
        if not draws_colours(await self._version_or_none()):
            await self.colour_fonts.make_copies(profile, limits)
        await asyncio.to_thread(save_template, profile, template)

    async def _launch(self, profile: Path, limits: Limits) -> ChildProcess:
        program = _program()
        child = await self._sandbox.start(
            interpreter.argv(_DRIVER, python=self._python),
            folder=self._folder,
            limits=limits,
            readable=(self.pdfium.parent,) if self.pdfium else (),
            environment=await self._environment(profile),
        )
        start = {
            "command": "start",
            "program": str(program),
            "profile": self.path_inside(profile),
            "pipe": self._folder.name,
        }
        try:
            for _ in range(_MOST_STARTS):
                response = await child.request(start, timeout_s=_START_S)
                if response.get("error") != "start_again":
                    break
                await asyncio.to_thread(remove_sockets, self._folder)
            _raise_refusal(response)
        except BaseException:
            await child.stop(grace_s=0)
            raise
        return child

    async def _environment(self, profile: Path) -> dict[str, str]:
        variables = {"LC_ALL": "C.UTF-8"}
        if not draws_colours(await self._version_or_none()):
            settings = await self.colour_fonts.write_settings(self._folder, profile)
            variables["FONTCONFIG_FILE"] = self.path_inside(settings)
        return variables

    async def _ask_version(self) -> str | None:
        """Ask the driver, so that a missing python3-uno is noticed now and not at the first conversion."""
        argv = [*interpreter.argv(_DRIVER, python=self._python), "--version"]
        with tempfile.TemporaryDirectory(prefix="converto-office-") as folder:
            try:
                run = await self._sandbox.run([*argv, str(_program())], folder=Path(folder), limits=_VERSION_LIMITS)
            except EngineMissing:
                return None
        if run.exit_code == launch.EXIT_NOT_INSTALLED:
            return None
        version = run.stdout.decode().strip()
        if run.exit_code != 0 or not version:
            raise EngineCrashed(detail=f"exit status {run.exit_code}: {run.stderr_tail[-400:]}")
        return version


def _program() -> Path:
    for folder in _PROGRAMS:
        if (Path(folder) / "soffice.bin").exists():
            return Path(folder)
    raise EngineMissing("LibreOffice is not installed on this worker. Install the packages libreoffice and python3-uno")


def _raise_refusal(response: dict[str, Any]) -> None:
    word = response.get("error")
    if word is None:
        return
    detail, message = str(response.get("detail", "")), str(response.get("message", ""))[:_SHOWN_CHARACTERS] or None
    did_not_start = EngineError("LibreOffice did not start on this worker", detail=detail)
    refusals: dict[str, ConversionError] = {
        "encrypted": EncryptedSource(),
        "wrong_password": WrongPassword(),
        "unreadable": CorruptSource(detail=detail),
        "corrupt": CorruptSource(detail=detail),
        "too_large": SourceTooLarge(message),
        "bad_options": BadOptions(message),
        "no_such_pages": BadOptions("None of the requested pages is in this document"),
        "failed": EngineError(
            "LibreOffice opened the document but could not save it in the target format", detail=detail
        ),
        "start": did_not_start,
        "start_again": did_not_start,
    }
    raise refusals.get(word) or EngineCrashed(detail=f"{word} {detail}")
