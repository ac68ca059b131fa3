"""Converts SubRip subtitles to WebVTT and back, and verifies the times.

Request: `source`, `output`, `from`, `to`, `packages`. Answer: `cues`, `notes`.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused, serve_argument
from converto_engines.texts.sandboxed.decoding import read_text

MAX_CUES = 200_000  # two weeks of dialogue
_NOTED_FAULTS = 5
_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{2})[,.](\d{1,3})"
_TIMES = re.compile(rf"\s*{_TIME}[ \t]*-->[ \t]*{_TIME}(?:[ \t].*)?\s*")
_TAG = re.compile(r"<(/?)([A-Za-z]+)(?:[.\s][^<>]*)?>")
_CUE_TAG = re.compile(r"</?[A-Za-z]*(?:[.\s][^<>]*)?>|<[\d:.]+>")
_POSITION = re.compile(r"\{\\[^{}]*\}")
_KEPT_TAGS = frozenset({"b", "i", "u"})
_NON_CUE_BLOCK = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|\Z)")  # NOTES-1 may be the name of a cue


@dataclass(frozen=True)
class Cue:
    """One subtitle; `text` has the markup of its own format."""

    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True)
class Fault:
    """A subtitle whose times are not valid; `line` counts from 1."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"Line {self.line}: {self.reason}"


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Write the file the request names and return its number of cues."""
    notes, faults = list[str](), list[Fault]()
    cues = read(read_text(request["source"], notes), request["from"], faults)
    if not cues:
        raise Refused("corrupt", str(faults[0]) if faults else "The file contains no subtitles")
    output = Path(request["output"])
    output.write_text(formatted(cues, request["to"]), encoding="utf-8", errors="replace", newline="")
    written = read(output.read_text(encoding="utf-8"), request["to"], [])
    if [(cue.start_ms, cue.end_ms) for cue in written] != [(cue.start_ms, cue.end_ms) for cue in cues]:
        raise Refused("output", f"The times of {len(cues):,} subtitles differ from the {len(written):,} written")
    return {"cues": len(cues), "notes": [*notes, *_notes(faults)]}


def read(text: str, kind: str, faults: list[Fault]) -> list[Cue]:
    """Parse the cues of a file in its order; refuses a broken file and names the line.

    A cue without valid times is left out and added to `faults`.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    starts = [number for number, line in enumerate(lines) if "-->" in line and _is_cue_start(lines, number, kind)]
    if len(starts) > MAX_CUES:
        raise Refused("too_large", f"The file has {len(starts):,} subtitles; at most {MAX_CUES:,} are allowed")
    _check_start(lines, starts[0] if starts else len(lines), kind)
    ends = [*starts[1:], len(lines)] if starts else []
    texts = _webvtt_text if kind == "vtt" else _subrip_text
    cues = []
    for start, end in zip(starts, ends, strict=True):
        times = _times(lines[start], start + 1)
        if isinstance(times, Fault):
            faults.append(times)
        else:
            cues.append(Cue(*times, texts(lines, start, end, is_last=end == len(lines))))
    return cues


def formatted(cues: list[Cue], kind: str) -> str:
    """Return the whole file with numbered cues."""
    return "".join(_webvtt(cues) if kind == "vtt" else _subrip(cues))


def _is_cue_start(lines: list[str], number: int, kind: str) -> bool:
    """Return whether the arrow in a line separates times, which may be broken; arrows in notes and cue text do not."""
    if kind == "vtt" and _is_in_non_cue_block(lines, number):
        return False
    before = lines[number - 1].strip() if number else ""
    return _TIMES.fullmatch(lines[number]) is not None or not before or before.isdigit()


def _is_in_non_cue_block(lines: list[str], number: int) -> bool:
    first = number
    while first and lines[first - 1].strip():
        first -= 1
    return _NON_CUE_BLOCK.match(lines[first]) is not None


def _check_start(lines: list[str], first: int, kind: str) -> None:
    """Refuse WebVTT without its header, and SubRip with text before the first cue."""
    if kind == "vtt":
        if not re.match(r"WEBVTT(?:[ \t]|\Z)", lines[0].lstrip("\ufeff")):
            raise Refused("corrupt", "Line 1: a WebVTT file must begin with the word WEBVTT")
        return
    for number, line in enumerate(lines[:first]):
        if line.strip() and not line.strip().isdigit():
            raise Refused("corrupt", f"Line {number + 1} is not a subtitle: {line.strip()[:60]}")


def _times(line: str, number: int) -> tuple[int, int] | Fault:
    found = _TIMES.fullmatch(line)
    if found is None:
        return Fault(number, f"it should hold the times of a subtitle: {line.strip()[:60]}")
    parts = found.groups()
    start, end = _milliseconds(parts[:4]), _milliseconds(parts[4:])
    if start is None or end is None:
        return Fault(number, "minutes and seconds must be below 60")
    return (start, end) if start <= end else Fault(number, "the subtitle ends before it begins")


def _milliseconds(parts: tuple[Any, ...]) -> int | None:
    hours, minutes, seconds, fraction = parts
    if int(minutes) > 59 or int(seconds) > 59:
        return None
    return ((int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(fraction.ljust(3, "0"))


def _subrip_text(lines: list[str], start: int, end: int, *, is_last: bool) -> str:
    """Return all lines up to the next cue's number; blank lines inside are tolerated and dropped."""
    inside = lines[start + 1 : end]
    if not is_last and inside and inside[-1].strip().isdigit():
        inside.pop()
    return "\n".join(line.strip() for line in inside if line.strip())


def _webvtt_text(lines: list[str], start: int, end: int, *, is_last: bool) -> str:
    """Return the lines up to the first blank one; an identifier, note or style follows it."""
    inside: list[str] = []
    for line in lines[start + 1 : end]:
        if not line.strip():
            break
        inside.append(line.strip())
    else:
        if not is_last and inside:
            inside.pop()  # the next cue's identifier, without a blank line before it
    return "\n".join(inside)


def _notes(faults: list[Fault]) -> list[str]:
    """Name the subtitles that were left out, the first ones with the reason."""
    notes = [f"A subtitle was left out. {fault}" for fault in faults[:_NOTED_FAULTS]]
    if len(faults) > _NOTED_FAULTS:
        notes.append(f"{len(faults) - _NOTED_FAULTS:,} more subtitles without valid times were left out")
    return notes


def _webvtt(cues: list[Cue]) -> Iterator[str]:
    yield "WEBVTT\n"
    for number, cue in enumerate(cues, 1):
        times = f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}"
        yield f"\n{number}\n{times}\n{_with_line_end(_as_webvtt(cue.text))}"


def _subrip(cues: list[Cue]) -> Iterator[str]:
    for number, cue in enumerate(cues, 1):
        times = f"{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}"
        yield f"{number}\n{times}\n{_with_line_end(_as_subrip(cue.text))}\n"


def _with_line_end(text: str) -> str:
    return f"{text}\n" if text else ""


def _as_webvtt(text: str) -> str:
    """Keep bold, italic and underline; drop colours and positions; escape anything else that looks like markup."""
    parts, position = [], 0
    text = _POSITION.sub("", text)
    for tag in _TAG.finditer(text):
        name = tag.group(2).lower()
        if name not in _KEPT_TAGS | {"font", "s"}:
            continue
        parts += [html.escape(text[position : tag.start()], quote=False)]
        parts += [f"<{tag.group(1)}{name}>"] if name in _KEPT_TAGS else []
        position = tag.end()
    return "".join([*parts, html.escape(text[position:], quote=False)])


def _as_subrip(text: str) -> str:
    """Keep bold, italic and underline; drop voices, classes and timestamps within the text."""
    return html.unescape(_CUE_TAG.sub(_kept_tag, text)).replace("-->", "→")


def _kept_tag(tag: re.Match[str]) -> str:
    found = _TAG.fullmatch(tag.group())
    name = found.group(2).lower() if found else ""
    return f"<{found.group(1)}{name}>" if found and name in _KEPT_TAGS else ""


def _clock(milliseconds: int, separator: str) -> str:
    seconds, fraction = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{separator}{fraction:03}"


def main() -> None:
    """Serve the request given on the command line."""
    serve_argument(convert)
