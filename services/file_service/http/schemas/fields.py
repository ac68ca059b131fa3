"""Field types that several bodies share, with their limits."""

from typing import Annotated

import msgspec
from msgspec import Meta

Name = Annotated[
    str, Meta(min_length=1, max_length=255, description="File name with its extension", examples=["deck.pptx"])
]
ClientId = Annotated[
    str,
    Meta(
        max_length=128, pattern=r"^[\x20-\x7e]+$", description="Your own label, usable as a filter", examples=["foyer"]
    ),
]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$", description="SHA-256 of the whole file, in hex")]
MimeType = Annotated[str, Meta(max_length=200, pattern=r"^[!-~]+/[!-~]+(; ?[ -~]+)?$", examples=["application/pdf"])]
SizeBytes = Annotated[int, Meta(ge=0, le=2**53, description="Size of the file in bytes", examples=[48213])]
FormatName = Annotated[
    str, Meta(min_length=1, max_length=32, description="A format name from GET /formats", examples=["pdf"])
]
OptionName = Annotated[str, Meta(pattern="^[A-Za-z][A-Za-z0-9_]*$", max_length=64)]
Text = Annotated[str, Meta(max_length=1000)]
Whole = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Option = bool | Whole | float | Text | None
Password = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        description="Opens an encrypted office document or PDF; sealed until the conversion ends, and never shown",
        extra_json_schema={"writeOnly": True},
    ),
]
Options = Annotated[
    dict[OptionName, Option],
    Meta(
        max_length=50,
        description="See options_schema of the route",
        extra_json_schema={"properties": {"password": msgspec.json.schema(Password)}},
    ),
]
Fresh = Annotated[bool, Meta(description="Run the conversion even if an earlier one has the same result")]
Milliseconds = Annotated[int, Meta(description="Milliseconds since 1970, UTC")]


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An empty body."""
