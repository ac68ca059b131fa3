"""What each kind of source has to become in each target. A pair that is not here fails."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from tests.engines.pairs.checks import documents, media, models, pictures, tables
from tests.engines.pairs.pair import Expectation, Fault, Pair, Result, nothing

_Check = Callable[[Result], Iterable[str]]

KNOWN_WRONG: Mapping[str, str] = {}
"""Pairs by test id whose result is wrong today, with the reason. A pair that is right again has to leave."""


def expectation(pair: Pair) -> Expectation:
    """The check of a pair; `Fault` when nobody has written one."""
    try:
        return _EXPECTED[pair.sample.kind][pair.target]
    except KeyError:
        raise Fault(f"no check for {pair.sample.kind} to {pair.target}: add one to expectations.py") from None


def _each(targets: str, check: _Check, *told: str, needs: str = "") -> dict[str, Expectation]:
    return {target: Expectation(check, told, needs) for target in targets.split()}


_PAGE_PICTURES = {
    **_each("png jpg webp", documents.page_pictures, "pixels", needs="pdf"),
    **_each("svg", documents.page_drawings, "outlines", needs="pdf"),
}
_WORDS_ONLY = _each("docx odt rtf", documents.text_document, "everything but the text")
_TEXT = _each("txt", documents.text, "everything but the text")
_PDF = _each("pdf", documents.pdf)
_SHEETS = _each("xlsx ods", tables.workbook)
_STILL = "png jpg avif heic tiff bmp ico jxl jp2"
_WITH_ALPHA = "png webp avif tiff gif heic jp2 jxl"
_SOUNDS = "mp3 m4a aac opus ogg flac wav"
_DRAWN = {
    **_each("png", pictures.preview, "the model itself"),
    **_each("jpg webp avif tiff gif heic jp2 jxl bmp ico pdf", pictures.preview_as, "the model itself", needs="png"),
}
_EXPECTED: Mapping[str, Mapping[str, Expectation]] = {
    "document": {
        **_each("docx odt rtf", documents.document),
        **_TEXT,
        **_PDF,
        **_PAGE_PICTURES,
    },
    "text": {
        **_each("docx odt rtf", documents.text_document),
        **_each("txt", documents.text),
        **_PDF,
        **_PAGE_PICTURES,
    },
    "web page": {**_each("html", documents.page), **_TEXT, **_WORDS_ONLY, **_PDF, **_PAGE_PICTURES},
    "pages": {**_TEXT, **_WORDS_ONLY, **_PDF, **_PAGE_PICTURES},
    "slides": {
        **_each("pptx odp", documents.slides),
        **_TEXT,
        **_WORDS_ONLY,
        **_PDF,
        **_PAGE_PICTURES,
    },
    "preview": {
        **{target: Expectation(nothing, refusal="source_unsupported") for target in ("pptx", "odp")},
        **_TEXT,
        **_WORDS_ONLY,
        **_PDF,
        **_PAGE_PICTURES,
    },
    "workbook": {
        **_SHEETS,
        **_each("csv", tables.first_sheet, "sheets"),
        **_each("json", tables.objects, "sheets"),
        **_TEXT,
        **_WORDS_ONLY,
        **_PDF,
        **_PAGE_PICTURES,
    },
    "table": {
        **_SHEETS,
        **_each("csv", tables.first_sheet),
        **_each("json", tables.objects),
        **_TEXT,
        **_WORDS_ONLY,
        **_PDF,
        **_PAGE_PICTURES,
    },
    "subtitles": _each("srt vtt", tables.subtitles, "bold and italic stay"),
    "picture": {
        **_each("png jpg webp avif tiff gif heic jp2 jxl bmp", pictures.marked),
        **_each("ico", pictures.marked_icon),
        **_each("pdf", pictures.marked_page),
    },
    "cut-out": {
        **_each(_WITH_ALPHA, partial(pictures.marked, corner=pictures.CLEAR)),
        **_each("jpg bmp", partial(pictures.marked, corner=pictures.WHITE), "transparency"),
        **_each("ico", partial(pictures.marked_icon, corner=pictures.CLEAR)),
        **_each("pdf", partial(pictures.marked_page, corner=pictures.WHITE), "transparency"),
    },
    "animation": {
        **_each("gif webp", pictures.moving),
        **_each(_STILL, pictures.first_frame, "movement"),
        **_each("pdf", pictures.first_frame_page, "movement"),
    },
    "picture pages": {
        **_each("pdf", pictures.all_pages),
        **_each("tiff png jpg avif heic bmp ico jxl jp2 webp gif", pictures.first_frame, "pages"),
    },
    "film": {
        **_each("mp4 mkv mov webm", media.film),
        **_each("gif", pictures.film_animation, "sound"),
        **_each(
            "png jpg webp avif tiff heic jp2 jxl bmp ico",
            partial(pictures.first_frame, size=pictures.FILM),
            "movement and sound",
        ),
        **_each("pdf", partial(pictures.first_frame_page, size=pictures.FILM), "movement and sound"),
        **_each(_SOUNDS, media.sound_of_film, "the picture"),
    },
    "sound": _each(_SOUNDS, media.sound),
    "mesh": {
        **_each("glb obj ply", models.mesh),
        **_each("stl 3mf off", models.mesh, "colours"),
        **_DRAWN,
    },
    "exact model": {
        **_each("stl obj glb ply 3mf off", models.mesh, "exact curves"),
        **_each("step iges brep", models.exact),
        **_DRAWN,
    },
}
