"""Corrects the counts that a COLLADA declares, because assimp trusts them and reads memory beyond the numbers."""

import re
from pathlib import Path

from converto_core.errors import CorruptSource

_ARRAY = re.compile(rb"<float_array\b([^>]*)>([^<]*)</float_array>")
_ACCESSOR = re.compile(rb"<accessor\b([^>]*)>")


def copy_with_true_counts(path: Path, copy: Path) -> None:
    """Copy a COLLADA with the true count at each array; raises `CorruptSource` when a part uses more than there is.

    Blocks on the disk.
    """
    counts: dict[bytes, int] = {}
    body = _ARRAY.sub(lambda found: _counted(found, counts), path.read_bytes())
    for found in _ACCESSOR.finditer(body):
        attributes = found.group(1)
        source = _text(attributes, b"source").removeprefix(b"#")
        count, stride = _number(attributes, b"count", 0), _number(attributes, b"stride", 1)
        needed = count and _number(attributes, b"offset", 0) + count * stride
        if source in counts and needed > counts[source]:
            raise CorruptSource("The model uses more coordinates than it holds. Export it again")
    copy.write_bytes(body)


def _counted(found: re.Match[bytes], counts: dict[bytes, int]) -> bytes:
    attributes, numbers = found.groups()
    count = len(numbers.split())
    counts[_text(attributes, b"id")] = count
    attributes = re.sub(rb"""(\bcount\s*=\s*)(["'])[^"']*\2""", rb"\g<1>\g<2>%d\g<2>" % count, attributes)
    return b"<float_array" + attributes + b">" + numbers + b"</float_array>"


def _text(attributes: bytes, name: bytes) -> bytes:
    found = re.search(rb"""(?:^|\s)%s\s*=\s*["']([^"']*)["']""" % name, attributes)
    return found.group(1) if found else b""


def _number(attributes: bytes, name: bytes, default: int) -> int:
    text = _text(attributes, name)
    return int(text) if re.fullmatch(rb"\d{1,12}", text) else default
