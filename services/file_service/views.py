"""How records are shown by this installation: where links lead and how long results are kept."""

import msgspec

from converto_core.conversion import Conversion
from file_service.schemas import ConversionBody, conversion_body


class Views(msgspec.Struct, frozen=True, kw_only=True):
    """`base` is what stands before each path, such as `/api/v1` or `https://convert.example.org/api/v1`."""

    base: str
    retention_ms: int

    def conversion(self, conversion: Conversion) -> ConversionBody:
        """A conversion as clients see it."""
        return conversion_body(conversion, base=self.base, retention_ms=self.retention_ms)
