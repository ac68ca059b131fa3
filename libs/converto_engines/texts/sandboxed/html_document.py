"""Builds one complete, styled HTML page from untrusted parts, without anything that runs."""

import html
import re
from typing import Any

STYLE = """
:root { color-scheme: light dark }
html { font: 100%/1.55 "Liberation Sans", "Noto Sans", "Helvetica Neue", Arial, sans-serif; color: #1f2733 }
body { max-width: 46rem; margin: 2.5rem auto; padding: 0 1.25rem; overflow-wrap: break-word; background: #fff }
h1, h2, h3, h4, h5, h6 { line-height: 1.25; margin: 1.8em 0 .6em; color: #12304a; break-after: avoid }
h1 { font-size: 2em; margin-top: 0; border-bottom: 2px solid #d5dee7; padding-bottom: .25em }
h2 { font-size: 1.5em; border-bottom: 1px solid #e3e9ef; padding-bottom: .2em }
h3 { font-size: 1.2em } h4, h5, h6 { font-size: 1em }
p, ul, ol, dl, table, pre, blockquote, figure { margin: 0 0 1em }
a { color: #1a6091 } img { max-width: 100%; height: auto }
li > p { margin-bottom: .4em } li input { display: inline-block; vertical-align: middle; margin: 0 .4em 0 0 }
.contains-task-list { list-style: none; padding-left: 1em }
code, pre, kbd, samp { font-family: "Liberation Mono", "DejaVu Sans Mono", Menlo, monospace; font-size: .88em }
code { background: #f0f3f6; border-radius: .25em; padding: .1em .3em }
pre { background: #f0f3f6; border-radius: .4em; padding: .8em 1em; overflow-x: auto; line-height: 1.4 }
pre code { background: none; padding: 0; font-size: 1em }
blockquote { border-left: .25em solid #b9c8d6; padding: .1em 1em; color: #4a5a6a }
blockquote > :last-child { margin: 0 }
table { border-collapse: collapse } th, td { border: 1px solid #cfd8e1; padding: .35em .7em; text-align: left }
th { background: #eef2f6 } hr { border: 0; border-top: 1px solid #cfd8e1; margin: 2em 0 }
.footnotes { font-size: .9em } .footnotes-sep { margin-top: 3em }
@media (prefers-color-scheme: dark) { html { color: #dde4ea } body { background: #161b21 } a { color: #7db7e0 }
  h1, h2, h3, h4, h5, h6 { color: #b9d4ea } code, pre, th { background: #242c35 } }
@media print { html { font-size: 10.5pt } body { max-width: none; margin: 0; padding: 0 }
  pre { white-space: pre-wrap } pre, tr, img { break-inside: avoid } p { orphans: 2; widows: 2 } }
@page { margin: 22mm 20mm; @bottom-center {
  content: counter(page); font: 9pt "Liberation Sans", sans-serif; color: #66727f } }
"""
_TAGS = frozenset({"input", "section", "tfoot", "main"})
_EVERYWHERE = frozenset({"id", "class", "lang", "dir", "title", "align"})
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp|svg\+xml|bmp|avif);base64,[A-Za-z0-9+/=\s]*\Z")
_SCHEMES = frozenset({"http", "https", "mailto", "tel", "ftp", "data"})


def cleaned(untrusted_html: str) -> str:
    """Remove scripts, styles, frames, forms, event handlers and executable URLs; embedded pictures stay."""
    import nh3  # noqa: PLC0415 -- importable only once `packages` are on the path

    attributes: dict[str, set[str]] = {tag: set(names) for tag, names in nh3.ALLOWED_ATTRIBUTES.items()}
    attributes["*"] = set(_EVERYWHERE)
    attributes["input"] = {"checked", "disabled"}
    for cell in ("td", "th"):
        attributes[cell].add("style")
    return nh3.clean(
        untrusted_html,
        tags=set(nh3.ALLOWED_TAGS) | _TAGS,
        attributes=attributes,
        attribute_filter=_allowed_value,
        tag_attribute_values={"input": {"type": {"checkbox"}}},
        filter_style_properties={"text-align"},
        url_schemes=set(_SCHEMES),
        link_rel=None,
    )


def _allowed_value(tag: str, attribute: str, value: str) -> str | None:
    if not value.lstrip().lower().startswith("data:"):
        return value
    return value if (tag, attribute) == ("img", "src") and _PICTURE.match(value) else None


def whole_page(title: str, body: str, *, language: str = "", style: str = "") -> str:
    """Return a complete page; `body` must be `cleaned`, and `style` our own CSS or escaped."""
    lang = f' lang="{html.escape(language)}"' if language else ""
    return (
        f'<!DOCTYPE html>\n<html{lang}>\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def characters_of(page: str) -> int:
    """Count the non-blank characters of a page with a parser other than the one that wrote it."""
    from lxml import html as reader  # noqa: PLC0415

    parser: Any = reader.HTMLParser(encoding="utf-8", no_network=True, huge_tree=True)
    tree = reader.document_fromstring(page.encode(), parser=parser)
    return sum(len("".join(part.split())) for part in tree.xpath("//body//text()"))
