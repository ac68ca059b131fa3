"""Runs in the sandbox: SubRip subtitles become WebVTT or the other way round, and the result is read back.

Started as `subtitles.py REQUEST_JSON`; it speaks as `protocol.py` says. A request has `source`, `output`, `from`, `to`
and `packages`; an answer `cues`. Times are whole milliseconds.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converto_engines.runtime.sandboxed.protocol import Refused, serve_argument
from converto_engines.texts.sandboxed.decoding import read_text

MOST_CUES = 200_000  # two weeks of talk
_TIME = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{2})[,.](\d{1,3})"
_TIMES = re.compile(rf"\s*{_TIME}[ \t]*-->[ \t]*{_TIME}(?:[ \t].*)?\s*")
_TAG = re.compile(r"<(/?)([A-Za-z]+)(?:[.\s][^<>]*)?>")
_CUE_TAG = re.compile(r"</?[A-Za-z]*(?:[.\s][^<>]*)?>|<[\d:.]+>")
_PLACING = re.compile(r"\{\\[^{}]*\}")
_KEPT_TAGS = frozenset({"b", "i", "u"})
_NO_CUES = ("NOTE", "STYLE", "REGION")


@dataclass(frozen=True)
class Cue:
    """One subtitle; `text` is as its file has it."""

    start_ms: int
    end_ms: int
    text: str


def convert(request: dict[str, Any]) -> dict[str, Any]:
    """Write what the request names."""
    cues = read(read_text(request["source"]), request["from"])
    if not cues:
        raise Refused("corrupt", "The file holds no subtitles")
    made = Path(request["output"])
    made.write_text(written(cues, request["to"]), encoding="utf-8", errors="replace", newline="")
    found = read(made.read_text(encoding="utf-8"), request["to"])
    if [(cue.start_ms, cue.end_ms) for cue in found] != [(cue.start_ms, cue.end_ms) for cue in cues]:
        raise Refused("output", f"{len(cues):,} subtitles were written, {len(found):,} came back with the same times")
    return {"cues": len(cues)}


def read(text: str, kind: str) -> list[Cue]:
    """The cues of a file in its order; refuses a broken one with the line that is wrong."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    starts = [number for number, line in enumerate(lines) if "-->" in line and _is_start(lines, number, kind)]
    if len(starts) > MOST_CUES:
        raise Refused("too_large", f"The file has {len(starts):,} subtitles; {MOST_CUES:,} are allowed")
    _refuse_strays(lines, starts[0] if starts else len(lines), kind)
    ends = [*starts[1:], len(lines)] if starts else []
    texts = _webvtt_text if kind == "vtt" else _subrip_text
    return [
        Cue(*_times(lines, start), texts(lines, start, end, is_last=end == len(lines)))
        for start, end in zip(starts, ends, strict=True)
    ]


def written(cues: list[Cue], kind: str) -> str:
    """The whole file, numbered, in the order of the cues."""
    return "".join(_webvtt(cues) if kind == "vtt" else _subrip(cues))


def _is_start(lines: list[str], number: int, kind: str) -> bool:
    """Whether an arrow is one between times; anywhere but in a note or in text it must be."""
    if _TIMES.fullmatch(lines[number]):
        return not (kind == "vtt" and _stands_in_note(lines, number))
    before = lines[number - 1].strip() if number else ""
    if (kind == "vtt" and _stands_in_note(lines, number)) or (before and not before.isdigit()):
        return False
    raise Refused("corrupt", f"Line {number + 1}: these are no times: {lines[number].strip()[:60]}")


def _stands_in_note(lines: list[str], number: int) -> bool:
    first = number
    while first and lines[first - 1].strip():
        first -= 1
    return lines[first].startswith(_NO_CUES)


def _refuse_strays(lines: list[str], first: int, kind: str) -> None:
    """Nothing but a number stands before the first subtitle of SubRip; WebVTT begins with its name."""
    if kind == "vtt":
        if not re.match(r"WEBVTT(?:[ \t]|\Z)", lines[0].lstrip("\ufeff")):
            raise Refused("corrupt", "Line 1: a WebVTT file begins with the word WEBVTT")
        return
    for number, line in enumerate(lines[:first]):
        if line.strip() and not line.strip().isdigit():
            raise Refused("corrupt", f"Line {number + 1}: this is no subtitle: {line.strip()[:60]}")


def _times(lines: list[str], number: int) -> tuple[int, int]:
    found = _TIMES.fullmatch(lines[number])
    parts = found.groups() if found else ()
    start, end = _milliseconds(parts[:4], number), _milliseconds(parts[4:], number)
    if end < start:
        raise Refused("corrupt", f"Line {number + 1}: this subtitle ends before it begins")
    return start, end


def _milliseconds(parts: tuple[Any, ...], number: int) -> int:
    hours, minutes, seconds, fraction = parts
    if int(minutes) > 59 or int(seconds) > 59:
        raise Refused("corrupt", f"Line {number + 1}: an hour has 60 minutes and a minute 60 seconds")
    return ((int(hours or 0) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(fraction.ljust(3, "0"))


def _subrip_text(lines: list[str], start: int, end: int, *, is_last: bool) -> str:
    """All lines up to the next subtitle's number; blank lines inside count as the file's carelessness."""
    inside = lines[start + 1 : end]
    if not is_last and inside and inside[-1].strip().isdigit():
        inside.pop()
    return "\n".join(line.strip() for line in inside if line.strip())


def _webvtt_text(lines: list[str], start: int, end: int, *, is_last: bool) -> str:
    """The lines up to the first blank one; what follows is a name, a note or a style."""
    inside: list[str] = []
    for line in lines[start + 1 : end]:
        if not line.strip():
            break
        inside.append(line.strip())
    else:
        if not is_last and inside:
            inside.pop()  # no blank line before the next one's name
    return "\n".join(inside)


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
    """Bold, italic and underlined stay; colours and places go; all else that looks like markup is text."""
    parts, position = [], 0
    text = _PLACING.sub("", text)
    for tag in _TAG.finditer(text):
        name = tag.group(2).lower()
        if name not in _KEPT_TAGS | {"font", "s"}:
            continue
        parts += [html.escape(text[position : tag.start()], quote=False)]
        parts += [f"<{tag.group(1)}{name}>"] if name in _KEPT_TAGS else []
        position = tag.end()
    return "".join([*parts, html.escape(text[position:], quote=False)])


def _as_subrip(text: str) -> str:
    """Bold, italic and underlined stay; voices, classes and inner times go."""
    return html.unescape(_CUE_TAG.sub(_kept_tag, text)).replace("-->", "→")


def _kept_tag(tag: re.Match[str]) -> str:
    found = _TAG.fullmatch(tag.group())
    name = found.group(2).lower() if found else ""
    return f"<{found.group(1)}{name}>" if found and name in _KEPT_TAGS else ""


def _clock(milliseconds: int, mark: str) -> str:
    seconds, fraction = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{mark}{fraction:03}"


def main() -> None:
    """Serve the one request."""
    serve_argument(convert)
