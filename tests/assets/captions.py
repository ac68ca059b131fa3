"""Subtitles of a short film, in SubRip: numbers, italics, two lines, letters from several languages."""

_CUES = (
    ("00:00:00,500", "00:00:02,750", "<i>The island, before dawn.</i>"),
    ("00:00:03,000", "00:00:05,999", "– Is our light on?\n– It is. They cannot see it."),
    ("00:00:06,000", "00:00:08,040", "Hallands Väderö, neunter Februar."),
    ("00:01:00,001", "00:01:02,000", "灯台 means <b>lighthouse</b>."),
    ("01:02:03,004", "01:02:05,678", "Tom & Søren < the sea"),
)


def captions() -> bytes:
    """The subtitles as UTF-8 with CRLF line ends."""
    cues = (f"{number}\n{start} --> {end}\n{text}\n\n" for number, (start, end, text) in enumerate(_CUES, 1))
    return "".join(cues).replace("\n", "\r\n").encode()
