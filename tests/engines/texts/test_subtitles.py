"""SubRip to WebVTT and back, read back with pysubs2, and broken or too many subtitles."""

import re
from collections.abc import Awaitable, Callable

import pysubs2
import pytest

from converto_core.errors import CorruptSource, SourceTooLarge
from converto_engines.runtime.process import Sandbox
from converto_engines.texts.subtitles import SrtToVtt, VttToSrt
from tests.assets.captions import captions
from tests.engines.texts.conftest import ConvertToText

Convert = Callable[..., Awaitable[str]]
CUE = "1\n00:00:01,000 --> 00:00:02,000\n"
CUE_VTT = "WEBVTT\n\n00:01.000 --> 00:02.000\n"


@pytest.fixture
def to_vtt(sandbox: Sandbox, convert_to_text: ConvertToText) -> Convert:
    return convert_to_text(SrtToVtt(sandbox), "srt", "vtt")


@pytest.fixture
def to_srt(sandbox: Sandbox, convert_to_text: ConvertToText) -> Convert:
    return convert_to_text(VttToSrt(sandbox), "vtt", "srt")


def cues_of(text: str, kind: str) -> list[tuple[int, int, str]]:
    read = pysubs2.SSAFile.from_string(text, format_=kind, keep_html_tags=True)
    return [(cue.start, cue.end, cue.text.replace(r"\N", "\n")) for cue in read]


async def test_webvtt_has_the_same_times_and_text(to_vtt: Convert) -> None:
    result = await to_vtt(captions())
    assert result.startswith("WEBVTT\n\n1\n00:00:00.500 --> 00:00:02.750\n<i>The island")
    expected = cues_of(captions().decode().replace("\r\n", "\n"), "srt")
    found = [
        (start, end, text.replace("&amp;", "&").replace("&lt;", "<")) for start, end, text in cues_of(result, "vtt")
    ]
    assert len(found) == 5
    assert found == expected
    assert "Tom &amp; Søren &lt; the sea" in result


async def test_webvtt_and_back_gives_the_same_file(to_vtt: Convert, to_srt: Convert) -> None:
    assert await to_srt(await to_vtt(captions())) == captions().decode().replace("\r\n", "\n")


async def test_only_unsupported_tags_are_dropped(to_vtt: Convert) -> None:
    result = await to_vtt(CUE + '<font color="red">Red</font> {\\an8}<B>bold</B> <s>x</s> <3 a<b>c\n')
    assert result.endswith("\nRed <b>bold</b> x &lt;3 a<b>c\n")


async def test_webvtt_notes_styles_and_settings_are_dropped(to_srt: Convert) -> None:
    result = await to_srt(
        "\ufeffWEBVTT - a title\nKind: captions\n\nNOTE 00:00.000 --> 00:09.000\nnot a cue --> really\n\n"
        "STYLE\n::cue { color: red }\n\nREGION\nid:bill\n\nintro\n00:01.234 --> 00:02.000 align:start position:10%\n"
        "<v Bob>Tom &amp; &lt;Ann&gt;</v> <c.red.big>red</c> <b>bye</b> <00:01.500><lang en>x</lang>\n\n"
        "NOTE between\n\n123:00:05.000 --> 123:00:06.007\n- one\n- two\n\n"
    )
    assert result == (
        "1\n00:00:01,234 --> 00:00:02,000\nTom & <Ann> red <b>bye</b> x\n\n"
        "2\n123:00:05,000 --> 123:00:06,007\n- one\n- two\n\n"
    )


async def test_careless_subrip_loses_nothing(to_vtt: Convert) -> None:
    result = await to_vtt(
        "\r\n\r\n7\r\n00:00:01,5 --> 00:00:02.25  X1:10\r\nfirst\r\n\r\nafter a blank line\r\n1984\r\n\r\n"
        "9\r\n0:00:03,000-->0:00:04,000\r\n\r\n10\r\n00:00:05,000 --> 00:00:06,000\r\n2001"
    )
    assert result == (
        "WEBVTT\n\n1\n00:00:01.500 --> 00:00:02.250\nfirst\nafter a blank line\n1984\n"
        "\n2\n00:00:03.000 --> 00:00:04.000\n\n3\n00:00:05.000 --> 00:00:06.000\n2001\n"
    )


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ("00:00:03,000 --> 00:00:02,000", "the subtitle ends before it begins"),
        ("00:00:xx --> 00:00:04,000", "it should hold the times of a subtitle: 00:00:xx --> 00:00:04,000"),
        ("00:00:03,000 --> 00:00:60,000", "minutes and seconds must be below 60"),
    ],
)
async def test_only_the_subtitle_without_valid_times_is_left_out(to_vtt: Convert, times: str, reason: str) -> None:
    notes: list[str] = []

    result = await to_vtt(
        f"{CUE}first\n\n2\n{times}\nbad\n\n3\n00:00:05,000 --> 00:00:06,000\nlast\n", note=notes.append
    )

    assert result == ("WEBVTT\n\n1\n00:00:01.000 --> 00:00:02.000\nfirst\n\n2\n00:00:05.000 --> 00:00:06.000\nlast\n")
    assert notes == [f"A subtitle was left out. Line 6: {reason}"]


async def test_broken_webvtt_times_leave_the_rest(to_srt: Convert) -> None:
    notes: list[str] = []

    assert await to_srt(CUE_VTT + "x\n\n0 --> 1\ny\n", note=notes.append) == "1\n00:00:01,000 --> 00:00:02,000\nx\n\n"
    assert "Line 6" in notes[0]


async def test_many_broken_subtitles_make_few_notes(to_vtt: Convert) -> None:
    notes: list[str] = []
    await to_vtt(CUE + "x\n\n" + "2\n00:00:09,000 --> 00:00:08,000\ny\n\n" * 1200, note=notes.append)

    assert len(notes) == 6
    assert notes[-1] == "1,195 more subtitles without valid times were left out"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "windows-1252"])
async def test_subtitles_in_other_encodings_are_decoded(to_vtt: Convert, encoding: str) -> None:
    assert "Väderö" in await to_vtt((CUE + "Väderö\n").encode(encoding))


async def test_arrow_in_the_text_stays_text(to_vtt: Convert, to_srt: Convert) -> None:
    assert (await to_vtt(CUE + "from here\nHamburg --> Malmö\n")).endswith("Hamburg --&gt; Malmö\n")
    assert (await to_srt(CUE_VTT + "Hamburg --&gt; Malmö\n")).endswith("Hamburg → Malmö\n\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no subtitles"),
        ("just words\n", "Line 1"),
        ("1\n00:00:05,000 --> 00:00:04,000\nx\n", "Line 2.*before"),
        ("1\n00:61:00,000 --> 00:62:00,000\nx\n", "Line 2.*below 60"),
        ("1\n00:00:00,000 --> \nx\n", "Line 2"),
        (CUE + "\0\n", "not text"),
    ],
)
async def test_broken_subrip_names_the_line(to_vtt: Convert, content: str, message: str) -> None:
    """I13."""
    with pytest.raises(CorruptSource) as refusal:
        await to_vtt(content)
    assert re.search(message, refusal.value.public_message)


@pytest.mark.parametrize(
    ("content", "message"),
    [("00:01.000 --> 00:02.000\nx\n", "WEBVTT"), ("WEBVTT\n", "no subtitles"), ("WEBVTT\n\n0 --> 1\n", "Line 3")],
)
async def test_broken_webvtt_names_the_line(to_srt: Convert, content: str, message: str) -> None:
    with pytest.raises(CorruptSource, match=message):
        await to_srt(content)


async def test_a_million_subtitles_are_refused(to_vtt: Convert) -> None:
    with pytest.raises(SourceTooLarge, match="1,000,000"):
        await to_vtt(CUE * 1_000_000)


async def test_cue_may_be_named_like_a_block(to_srt: Convert) -> None:
    cues = "".join(
        f"{name}\n00:0{number}.000 --> 00:0{number}.900\n{name} says\n\n"
        for number, name in enumerate(("NOTES-1", "REGION-2", "3"))
    )

    assert (await to_srt(f"WEBVTT\n\nNOTE nothing\n\n{cues}")).count("says") == 3
