"""Fonts in colour, such as emoji, in the PDFs of a LibreOffice that leaves out their glyphs."""

import asyncio
import mmap
from pathlib import Path

from converto_engines.converter import Limits
from converto_engines.office.sandboxed.colour_fonts import BLANK
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.sandboxed_program import SandboxedProgram

_FOLDER = "blank-fonts"
_BROKEN_UNTIL = (7, 5)
"""The first version of LibreOffice that draws them by itself."""
_SETTINGS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
<include>/etc/fonts/fonts.conf</include>
<dir>{folder}</dir>
<selectfont><rejectfont><pattern><patelt name="color"><bool>true</bool></patelt></pattern></rejectfont></selectfont>
</fontconfig>
"""


def draws_colours(version: str) -> bool:
    """Return whether this version of LibreOffice draws fonts in colour by itself."""
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    return major.isdecimal() and minor.isdecimal() and (int(major), int(minor)) >= _BROKEN_UNTIL


class ColourFonts:
    """Gives LibreOffice blank copies of these fonts, and draws their pictures into its PDFs."""

    def __init__(self, sandbox: Sandbox) -> None:
        """`sandbox` runs a new process for each request."""
        self._sandbox = sandbox
        self._program = SandboxedProgram(
            sandbox, "office.sandboxed.colour_fonts", packages=("fontTools", "pikepdf", "PIL")
        )

    async def make_copies(self, profile: Path, limits: Limits) -> None:
        """Write blank copies into the profile; without the packages there are none, and no fonts in colour at all."""
        folder = profile / _FOLDER
        await asyncio.to_thread(folder.mkdir, exist_ok=True)
        if self._program.is_installed:
            request = {"folder": self._sandbox.path_inside(profile, folder)}
            await self._program.run(request, folder=profile, limits=limits)

    async def write_settings(self, slot: Path, profile: Path) -> Path:
        """Write settings of fontconfig that name the copies in place of the fonts in colour; return their path."""
        path = slot / f"{profile.name}-fonts.conf"
        folder = self._sandbox.path_inside(slot, profile / _FOLDER)
        await asyncio.to_thread(path.write_text, _SETTINGS.format(folder=folder), encoding="utf-8")
        return path

    async def draw(self, pdf: Path, limits: Limits) -> list[str]:
        """Draw the pictures into a PDF that has blank glyphs; returns the texts of the glyphs that stay blank."""
        if not await asyncio.to_thread(_has_blank_glyphs, pdf):
            return []
        folder, drawn = pdf.parent, pdf.with_suffix(".drawn.pdf")
        request = {
            "source": self._sandbox.path_inside(folder, pdf),
            "output": self._sandbox.path_inside(folder, drawn),
        }
        answer = await self._program.run(request, folder=folder, limits=limits)
        await asyncio.to_thread(drawn.replace, pdf)
        return list(answer["undrawn"])


def _has_blank_glyphs(pdf: Path) -> bool:
    """Return whether a PDF names a blank font; LibreOffice writes the names of fonts uncompressed."""
    with pdf.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(BLANK.encode()) >= 0
