"""Controls one LibreOffice over UNO for the worker: one JSON command per line in, one JSON response per line out.

It runs under the system's Python, to which the package `uno` belongs. The commands are start, ping, open, review,
count, save, save_text, spell_out, pages, glyphs and close. A response holds the requested figures, or `error` (a word
that `warm_office.py` maps to an error), `message` and `detail`.
"""

import json
import os
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uno
import unohelper
from com.sun.star.beans import PropertyValue
from com.sun.star.task import XInteractionHandler

from converto_engines.office.sandboxed.contents import boxed_texts, contents_of
from converto_engines.office.sandboxed.digits import spell_out
from converto_engines.office.sandboxed.filters import (
    PACKAGES,
    READERS,
    SLIDES,
    TABLE_OPTIONS,
    TABLE_READER,
    TEXT,
    WRITERS,
)
from converto_engines.office.sandboxed.glyphs import Fonts, characters_in
from converto_engines.office.sandboxed.plain_text import append_texts, to_utf8, write_rows
from converto_engines.office.sandboxed.review import remove_comments, review
from converto_engines.office.sandboxed.table_package import write_workbook
from converto_engines.pdf.sandboxed.pdfium import Library
from converto_engines.runtime.sandboxed.archive import check_size
from converto_engines.runtime.sandboxed.protocol import Refused, reserve_stdout

_START_S = 60.0  # a fresh profile on a loaded machine; a ready-made one takes half a second
_POLL_S = 0.02
_START_AGAIN = (79, 81)  # exit codes of LibreOffice: the profile is prepared, start me again
_EXIT_S = 5.0
_NO_LINK_UPDATE = _NEVER_RUN_MACROS = 0
_SWITCHES = (
    "--headless", "--invisible", "--nologo", "--nodefault", "--norestore", "--nolockcheck", "--nofirststartwizard",
)  # fmt: skip

_PASSWORD_CHOICES = {"XInteractionPassword", "XInteractionPassword2"}
_NO_CHOICES = {"XInteractionAbort", "XInteractionDisapprove"}
_NEVER_ASKED_AGAIN = {"doc"}  # all other filters ask again after a wrong password
_UnoError = uno.getClass("com.sun.star.uno.Exception")


class Questions(unohelper.Base, XInteractionHandler):  # type: ignore[misc]
    """Answers the first question for a password, and declines every other dialog that LibreOffice would show.

    The password is no load property, because LibreOffice would encrypt with it what it saves.
    """

    def __init__(self, password: str | None, source_format: str) -> None:
        self._password, self._may_answer = password, password is not None
        self._is_asked, self._is_wrong = False, source_format in _NEVER_ASKED_AGAIN

    def begin(self) -> None:
        """Answer one more question: the detection and the loading of a document ask apart."""
        self._may_answer = self._password is not None

    def handle(self, request: Any) -> None:
        """Select a choice; only the choices are visible through this bridge, not the question itself."""
        choices = [
            (choice, {kind.typeName.rpartition(".")[2] for kind in choice.getTypes()})
            for choice in request.getContinuations()
        ]
        entry = next((choice for choice, names in choices if names & _PASSWORD_CHOICES), None)
        if entry is not None and self._may_answer:
            self._is_asked, self._may_answer = True, False
            entry.setPassword(self._password)
            entry.select()
            return
        if entry is not None:
            self._is_wrong, self._is_asked = self._is_wrong or self._is_asked, True
        for choice, names in choices:
            if names & _NO_CHOICES:
                choice.select()

    def refusal(self) -> Refused:
        """The refusal of a document that did not load."""
        if self._is_asked and self._password is None:
            return Refused("encrypted")
        return Refused("wrong_password" if self._is_asked and self._is_wrong else "unreadable")


class Office:
    """One LibreOffice process and at most one open document."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._context: Any = None
        self._document: Any = None
        self._pdfium: Library | None = None
        self._fonts: Fonts | None = None

    def respond(self, command: dict[str, Any]) -> dict[str, Any]:
        """Execute one command; errors of the document or of LibreOffice are returned, not raised."""
        actions: dict[str, Callable[..., dict[str, Any] | None]] = {
            "start": self.start, "ping": self.ping, "open": self.open, "review": self.review, "count": self.count,
            "save": self.save, "save_text": self.save_text, "spell_out": self.spell_out, "pages": self.pages,
            "glyphs": self.glyphs, "close": self.close,
        }  # fmt: skip
        action = actions[command.pop("command")]
        try:
            if self._process is not None and self._process.poll() is not None:
                return {"error": "gone"}
            return action(**command) or {}
        except Refused as refusal:
            return {"error": refusal.kind, "message": str(refusal)}
        except _UnoError as error:
            return {"error": "crashed" if self._has_died() else "failed", "detail": repr(error)[:2000]}

    def start(self, *, program: str, profile: str, pipe: str) -> dict[str, Any]:
        """Start LibreOffice on this profile and wait until it answers.

        Refuses with `start_again` once the profile is prepared. The worker has to remove the sockets in between: where
        Landlock confines this process, it may create sockets in /tmp but not delete them.
        """
        resolver = _local("com.sun.star.bridge.UnoUrlResolver")
        self._process = _launch(program, profile, pipe)
        self._context = self._connect(resolver, pipe, time.monotonic() + _START_S)
        if self._context is None:
            if self._process.poll() not in _START_AGAIN:
                raise Refused("start")
            self._process = None
            raise Refused("start_again")
        return {"version": self._version()}

    def ping(self) -> None:
        """Make a small request over the bridge: the process of a dying LibreOffice may still look alive."""
        self._desktop()

    def open(
        self,
        *,
        path: str,
        source_format: str,
        table: dict[str, Any],
        entries: int,
        unpacked_bytes: int,
        editable: bool = False,
        without_comments: bool = False,
        password: str | None = None,
    ) -> dict[str, Any]:
        """Load a document as the given format, and count its slides if it is a deck or a drawing.

        `table` says how to load a CSV file (`table_package.py`). `without_comments` loads a copy of a text document
        without them, and counts those that it had. `password` opens an encrypted document; others ignore it. The
        response has `notes` about what could not be loaded.
        """
        if source_format in PACKAGES:
            _check_package(path, entries, unpacked_bytes)
        questions, notes = Questions(password, source_format), list[str]()
        if source_format == "csv":
            source, path = path, str(Path(path).with_name("table.ods"))
            notes = write_workbook(source, Path(path), **table)
        url, reader, options = self._reader(path, source_format, questions)
        questions.begin()
        arguments = {
            "FilterName": reader, "Hidden": True, "ReadOnly": not editable, "UpdateDocMode": _NO_LINK_UPDATE,
            "MacroExecutionMode": _NEVER_RUN_MACROS, "InteractionHandler": questions, **options,
        }  # fmt: skip
        comments = 0
        try:
            if without_comments:
                url, comments = self._plain_copy(url, arguments)
                arguments["FilterName"] = READERS["odt"]["writer8"]
            self._document = self._desktop().loadComponentFromURL(url, "_blank", 0, _properties(arguments))
        except _UnoError as error:
            if self._has_died():
                raise
            raise questions.refusal() from error
        if self._document is None:
            raise questions.refusal()
        if source_format == "csv":
            _fit_columns(self._document)
        return {**self._slides(), "notes": notes, "comments": comments}

    def review(self, *, changes: str) -> dict[str, Any]:
        """Show, accept or reject the tracked changes of the open document."""
        return review(self._document, self._service("com.sun.star.frame.DispatchHelper"), changes)

    def count(self) -> dict[str, Any]:
        """Count the contents of the open document, for the comparison with the result."""
        return contents_of(self._document)

    def save(
        self, *, path: str, target: str, settings: dict[str, Any], filter_options: str = "", fit_width: bool = False
    ) -> None:
        """Write the open document in another format; `settings` are those of the PDF export.

        LibreOffice may append the name of a sheet to the name of a CSV file.
        """
        writers = WRITERS[target]
        writer = next((writers[service] for service in writers if self._document.supportsService(service)), None)
        if writer is None:
            raise Refused("unreadable")
        if fit_width:
            _fit_width(self._document)
        arguments: dict[str, Any] = {"FilterName": writer, "Overwrite": True}
        if settings:
            arguments["FilterData"] = uno.Any("[]com.sun.star.beans.PropertyValue", _properties(settings))
        if filter_options:
            arguments["FilterOptions"] = filter_options
        try:
            self._document.storeToURL(uno.systemPathToFileUrl(path), _properties(arguments))
        except uno.getClass("com.sun.star.io.IOException") as error:
            # LibreOffice reports a page range without any existing page only as "cannot write".
            raise Refused("no_such_pages" if "PageRange" in settings else "failed") from error
        if writer == WRITERS["txt"][TEXT]:
            append_texts(Path(path), boxed_texts(self._document))

    def save_text(self, *, path: str, sheets: list[int]) -> None:
        """Write sheets, counted from 1, as lines of cells with a tab between them; under their names if several."""
        names = self._document.Sheets.ElementNames
        tables = [self._saved_table(Path(path).with_name(f"sheet-{number}"), number) for number in sheets]
        titles = [names[number - 1] if len(sheets) > 1 else "" for number in sheets]
        write_rows(Path(path), zip(titles, tables, strict=True))

    def _saved_table(self, folder: Path, sheet: int) -> Path:
        """Save a sheet in a new folder, because LibreOffice adds its name to that of the file."""
        folder.mkdir()
        options = TABLE_OPTIONS.format(separator=ord(","), as_shown="true", sheet=sheet)
        self.save(path=str(folder / "cells.csv"), target="csv", settings={}, filter_options=options)
        (table,) = folder.iterdir()
        spell_out(self._document, table, separator=",", sheet=sheet)
        return table

    def spell_out(self, *, path: str, separator: str, sheet: int) -> None:
        """Write the long numbers of a saved table with all their digits; `sheet` counts from 1."""
        spell_out(self._document, Path(path), separator=separator, sheet=sheet)

    def pages(self, *, path: str, pdfium: str) -> dict[str, Any]:
        """Count the pages of a written PDF with pdfium; 0 when it does not open."""
        return {"pages": self._library(pdfium).count_pages(path)}

    def glyphs(self, *, path: str, pdfium: str) -> dict[str, Any]:
        """Find the characters of a written PDF that no installed font has."""
        self._fonts = self._fonts or Fonts.installed()
        missing = self._fonts.missing(characters_in(self._library(pdfium), path)) if self._fonts else []
        return {"missing": missing}

    def close(self) -> None:
        """Close the open document, if any."""
        document, self._document = self._document, None
        if document is not None:
            document.close(True)

    def end(self) -> None:
        """Let LibreOffice exit by itself, so that it saves its profile; kill it when it does not."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        try:
            self._desktop().terminate()
            process.wait(_EXIT_S)
        except (_UnoError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()

    def _connect(self, resolver: Any, pipe: str, ends_at: float) -> Any:
        while self._process is not None and self._process.poll() is None and time.monotonic() < ends_at:
            try:
                return resolver.resolve(f"uno:pipe,name={pipe};urp;StarOffice.ComponentContext")
            except uno.getClass("com.sun.star.connection.NoConnectException"):
                time.sleep(_POLL_S)
        return None

    def _reader(self, path: str, source_format: str, questions: Questions) -> tuple[str, str, dict[str, Any]]:
        """URL, filter and further arguments for loading a source."""
        url = uno.systemPathToFileUrl(path)
        if source_format == "csv":
            return url, TABLE_READER, {"ReadOnly": False}  # else its columns cannot be fitted
        readers = READERS[source_format]
        if source_format == "txt":
            # LibreOffice accepts any bytes as text, so its type detection is not used.
            to_utf8(Path(path))
            return url, readers["generic_Text"], {"FilterOptions": "UTF8,LF,,,"}
        detection = self._service("com.sun.star.document.TypeDetection")
        description = _properties({"URL": url, "ReadOnly": True, "InteractionHandler": questions})
        detected, _ = detection.queryTypeByDescriptor(description, True)
        if detected not in readers:
            raise questions.refusal()
        return url, readers[detected], {}

    def _plain_copy(self, url: str, arguments: dict[str, Any]) -> tuple[str, int]:
        """Write a copy without comments beside a text document; returns its URL and how many comments there were.

        LibreOffice without its user interface may crash when it shows comments, so this document is never shown.
        """
        unseen = self._service("com.sun.star.text.TextDocument")
        try:
            unseen.load(_properties({"URL": url, **arguments}))
            comments, copy = remove_comments(unseen), f"{url}.odt"
            unseen.storeToURL(copy, _properties({"FilterName": WRITERS["odt"][TEXT], "Overwrite": True}))
        finally:
            unseen.close(True)
        return copy, comments

    def _library(self, pdfium: str) -> Library:
        if self._pdfium is None:
            self._pdfium = Library(pdfium)
        return self._pdfium

    def _slides(self) -> dict[str, Any]:
        """The number of slides or drawing pages and the numbers of the visible ones; None for other documents."""
        if not self._document.supportsService("com.sun.star.drawing.GenericDrawingDocument"):
            return {"slides": None, "visible": None}
        pages = self._document.getDrawPages()
        is_deck, numbers = self._document.supportsService(SLIDES), range(pages.getCount())
        visible = [number + 1 for number in numbers if not is_deck or pages.getByIndex(number).Visible]
        return {"slides": len(numbers), "visible": visible}

    def _version(self) -> str:
        configuration = self._service("com.sun.star.configuration.ConfigurationProvider")
        node = _properties({"nodepath": "/org.openoffice.Setup/Product"})
        access = configuration.createInstanceWithArguments("com.sun.star.configuration.ConfigurationAccess", node)
        return str(access.getByName("ooSetupVersionAboutBox"))

    def _desktop(self) -> Any:
        return self._service("com.sun.star.frame.Desktop")

    def _service(self, name: str) -> Any:
        return self._context.ServiceManager.createInstanceWithContext(name, self._context)

    def _has_died(self) -> bool:
        """Return whether LibreOffice has exited; waits a moment for a process that is just dying."""
        try:
            if self._process is not None:
                self._process.wait(0.2)
        except subprocess.TimeoutExpired:
            return False
        return True


def _launch(program: str, profile: str, pipe: str) -> "subprocess.Popen[bytes]":
    argv = [str(Path(program) / "soffice.bin"), f"-env:UserInstallation={uno.systemPathToFileUrl(profile)}", *_SWITCHES]
    environment = {**os.environ, "SAL_USE_VCLPLUGIN": "svp"}
    return subprocess.Popen(
        [*argv, f"--accept=pipe,name={pipe};urp;"], stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environment
    )


def _fit_columns(document: Any) -> None:
    """Make each column of the first sheet as wide as its longest cell."""
    cells = document.Sheets.getByIndex(0)
    cursor = cells.createCursor()
    cursor.gotoEndOfUsedArea(False)
    used = cells.getCellRangeByPosition(0, 0, cursor.RangeAddress.EndColumn, cursor.RangeAddress.EndRow)
    used.getColumns().OptimalWidth = True


def _fit_width(document: Any) -> None:
    """Scale every sheet to the width of one page, over as many pages in height as it needs."""
    styles, sheets = document.StyleFamilies.getByName("PageStyles"), document.Sheets
    for number in range(sheets.getCount()):
        style = styles.getByName(sheets.getByIndex(number).PageStyle)
        style.ScaleToPagesX, style.ScaleToPagesY = 1, 0


def _local(name: str) -> Any:
    context = uno.getComponentContext()
    return context.ServiceManager.createInstanceWithContext(name, context)


def _properties(values: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(PropertyValue(Name=name, Value=value) for name, value in values.items())


def _check_package(path: str, entries: int, unpacked_bytes: int) -> None:
    """Refuse a ZIP container that is too large; LibreOffice reports what is wrong with an unreadable one."""
    try:
        with zipfile.ZipFile(path) as package:
            members = package.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error):
        return
    check_size(members, entries=entries, unpacked_bytes=unpacked_bytes)


def print_version(program: str) -> None:
    """Print the version of LibreOffice on one line; this module only loads where `uno` can be imported.

    The sandbox limits the time.
    """
    run = subprocess.run([str(Path(program) / "soffice.bin"), "--version"], capture_output=True, check=True)
    sys.stdout.write(run.stdout.decode().split()[1] + "\n")


def main() -> None:
    """Print the version if requested, else respond to commands until stdin is closed."""
    if sys.argv[1:2] == ["--version"]:
        print_version(sys.argv[2])
        return
    reserve_stdout()
    office = Office()
    try:
        for line in sys.stdin:
            sys.stdout.write(json.dumps(office.respond(json.loads(line))) + "\n")
            sys.stdout.flush()
    finally:
        office.end()
