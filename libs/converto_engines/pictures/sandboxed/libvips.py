"""Thin ctypes binding of libvips, for pictures and PDF pages.

pyvips was rejected: its import takes three times as long as starting the `vips` command, for every picture.
"""

import ctypes
import itertools
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_size_t, c_ulong, c_void_p
from typing import Any

SIZE_FORCE = 3  # VipsSize: exactly this size
FAIL_ON_ERROR = 2  # VipsFailOn
FORMAT_UCHAR = 0  # VipsBandFormat
_CENTRE = 0  # VipsCompassDirection
GREY, CMYK, SRGB, RGB16, GREY16, LINEAR_RGB = 1, 15, 22, 25, 26, 28  # VipsInterpretation
_MM_PER_INCH = 25.4


class VipsError(Exception):
    """An operation failed; the text is libvips' own."""


class Library:
    """The loaded library."""

    def __init__(self) -> None:
        """Load and start libvips; raises `OSError` when it is not installed."""
        self.c = ctypes.CDLL("libvips.so.42")
        self._declare()
        if self.c.vips_init(b"converto"):
            raise VipsError(self.error_text())
        self.c.vips_cache_set_max(0)

    @property
    def version(self) -> str:
        """Version such as "8.14.1"."""
        return ".".join(str(self.c.vips_version(part)) for part in range(3))

    def has(self, operation: str) -> bool:
        """Return whether this build has an operation such as `jxlload`."""
        return bool(self.c.vips_type_find(b"VipsOperation", operation.encode()))

    def allow(self, *operations: str) -> None:
        """Block all unsafe operations except these classes, such as `VipsForeignLoadSvg`."""
        self.c.vips_block_untrusted_set(1)
        self.also_allow(*operations)

    def also_allow(self, *operations: str) -> None:
        """Unblock further operations after `allow`."""
        for operation in operations:
            self.c.vips_operation_block_set(operation.encode(), 0)

    def use_threads(self, count: int) -> None:
        """Compute later pictures with this many threads; 0 for one per core."""
        self.c.vips_concurrency_set(count)

    def error_text(self) -> str:
        """Return and clear libvips' error text."""
        text: bytes = self.c.vips_error_buffer() or b""
        self.c.vips_error_clear()
        return text.decode(errors="replace").strip()

    def open(self, path: str, options: str) -> "Picture":
        """Open a picture; only its header is read now, pixels on demand."""
        pointer = self.c.vips_image_new_from_file(f"{path}[{options}]".encode(), None)
        return self.wrap(pointer)

    def from_memory(self, pixels: Any, width: int, height: int) -> "Picture":
        """Wrap packed 8-bit RGB pixels without copying; the picture keeps them alive."""
        pointer = self.c.vips_image_new_from_memory(
            pixels, c_size_t(width * height * 3), c_int(width), c_int(height), c_int(3), c_int(FORMAT_UCHAR)
        )
        picture = self.wrap(pointer)
        copied = picture._call("copy", b"interpretation", c_int(SRGB))
        copied.kept = (picture, pixels)
        return copied

    def resized(self, path: str, options: str, width: int, height: int) -> "Picture":
        """Load a picture upright at exactly this size; faster and with less memory than loading and then shrinking."""
        out = c_void_p()
        size = (b"height", c_int(height), b"size", c_int(SIZE_FORCE), b"fail_on", c_int(FAIL_ON_ERROR))
        failed = self.c.vips_thumbnail(f"{path}[{options}]".encode(), byref(out), c_int(width), *size, None)
        return self.wrap(None if failed else out.value)

    def join_down(self, pictures: "list[Picture]") -> "Picture":
        """Join pictures of one width vertically, the way libvips stores the frames of an animation."""
        out = c_void_p()
        array = (c_void_p * len(pictures))(*[picture.pointer for picture in pictures])
        failed = self.c.vips_arrayjoin(array, byref(out), c_int(len(pictures)), b"across", c_int(1), None)
        return self.wrap(None if failed else out.value)

    def wrap(self, pointer: int | None) -> "Picture":
        """Take ownership of a `VipsImage*`; raises `VipsError` for NULL."""
        if not pointer:
            raise VipsError(self.error_text())
        return Picture(self, pointer)

    def _declare(self) -> None:
        for name in ("vips_image_new_from_file", "vips_image_new_from_memory"):
            getattr(self.c, name).restype = c_void_p
        self.c.vips_error_buffer.restype = c_char_p
        self.c.vips_type_find.restype = c_ulong
        self.c.vips_image_get_typeof.restype = c_ulong
        self.c.vips_image_get_typeof.argtypes = [c_void_p, c_char_p]
        for name in ("width", "height", "bands", "format", "interpretation", "n_pages", "page_height", "orientation"):
            getattr(self.c, f"vips_image_get_{name}").argtypes = [c_void_p]
        for name in ("xres", "yres"):
            getattr(self.c, f"vips_image_get_{name}").argtypes = [c_void_p]
            getattr(self.c, f"vips_image_get_{name}").restype = c_double
        self.c.vips_image_get_fields.restype = POINTER(c_char_p)
        self.c.vips_image_get_fields.argtypes = [c_void_p]
        self.c.vips_image_hasalpha.argtypes = [c_void_p]
        self.c.vips_image_set_int.argtypes = [c_void_p, c_char_p, c_int]
        self.c.vips_image_remove.argtypes = [c_void_p, c_char_p]
        for name in ("avg", "min", "max"):
            getattr(self.c, f"vips_{name}").argtypes = [c_void_p, POINTER(c_double), c_void_p]
        self.c.g_object_unref.argtypes = [c_void_p]
        self.c.vips_array_double_new.restype = c_void_p


class Picture:
    """A picture, or an animation with its frames joined vertically. Operations return a new picture."""

    def __init__(self, library: Library, pointer: int) -> None:
        """Own the pointer and release it with this object."""
        self.library, self.pointer = library, c_void_p(pointer)
        self.kept: tuple[Any, ...] = ()

    def __del__(self) -> None:
        self.library.c.g_object_unref(self.pointer)

    def __getattr__(self, name: str) -> int:
        """Read a header value: such as width, bands, format, interpretation, n_pages or page_height."""
        if name.startswith("_"):
            raise AttributeError(name)
        value: int = getattr(self.library.c, f"vips_image_get_{name}")(self.pointer)
        return value

    @property
    def has_alpha(self) -> bool:
        """Whether the picture has an alpha channel."""
        return bool(self.library.c.vips_image_hasalpha(self.pointer))

    @property
    def dpi(self) -> tuple[float, float]:
        """Pixels per inch across and down, as the header says; libvips assumes 25.4 or 72 where it says nothing."""
        c = self.library.c
        return c.vips_image_get_xres(self.pointer) * _MM_PER_INCH, c.vips_image_get_yres(self.pointer) * _MM_PER_INCH

    def has_field(self, name: str) -> bool:
        """Return whether the header has this field."""
        return bool(self.library.c.vips_image_get_typeof(self.pointer, name.encode()))

    def set_int(self, name: str, value: int) -> None:
        """Set a header field; the picture must not be shared."""
        self.library.c.vips_image_set_int(self.pointer, name.encode(), value)

    def upright(self) -> "Picture":
        """Rotate as the header's orientation says."""
        return self._call("autorot")

    def labelled_srgb(self) -> "Picture":
        """Relabel the same values as sRGB."""
        return self.labelled(SRGB)

    def labelled(self, interpretation: int) -> "Picture":
        """Relabel the same values as another colour space."""
        return self._call("copy", b"interpretation", c_int(interpretation))

    def in_srgb(self) -> "Picture":
        """Convert to 8-bit sRGB."""
        return self.in_colours(SRGB)

    def in_colours(self, interpretation: int) -> "Picture":
        """Convert to another colour space."""
        return self._call("colourspace", c_int(interpretation))

    def colours(self) -> "Picture":
        """Return the picture without its alpha channel."""
        return self._call("extract_band", c_int(0), b"n", c_int(self.bands - 1)) if self.has_alpha else self

    def alpha(self) -> "Picture":
        """Return the alpha channel, which is the last one."""
        return self._call("extract_band", c_int(self.bands - 1))

    def joined(self, other: "Picture") -> "Picture":
        """Append the channels of another picture of the same size."""
        out = c_void_p()
        failed = self.library.c.vips_bandjoin2(self.pointer, other.pointer, byref(out), None)
        result = self.library.wrap(None if failed else out.value)
        result.kept = (self, other)
        return result

    def linear(self, factor: float, offset: float) -> "Picture":
        """Return each sample times `factor` plus `offset`, as floating-point numbers."""
        return self._call("linear1", c_double(factor), c_double(offset))

    def cast(self, band_format: int) -> "Picture":
        """Convert the samples to another format; what does not fit becomes its lowest or highest number."""
        return self._call("cast", c_int(band_format))

    def lowest(self) -> float:
        """Decode all pixels and return the lowest sample; NaN does not count."""
        return self._number("min")

    def highest(self) -> float:
        """Decode all pixels and return the highest sample; NaN does not count."""
        return self._number("max")

    def has_only_black_and_white(self) -> bool:
        """Decode all pixels and return whether each is 0 or 255; for one channel of 8 bits."""
        out = c_void_p()
        inverse = self._call("invert")
        failed = self.library.c.vips_multiply(self.pointer, inverse.pointer, byref(out), None)
        return self.library.wrap(None if failed else out.value).average() == 0

    def without_profile(self) -> "Picture":
        """Convert from the embedded profile, or from CMYK, to sRGB without a profile."""
        turned = self._call("icc_transform", b"srgb", b"embedded", c_int(1))
        self.library.c.vips_image_remove(turned.pointer, b"icc-profile-data")
        return turned

    def without(self, *field_prefixes: str) -> "Picture":
        """Return a copy without the header fields that begin with one of these prefixes."""
        bare, prefixes = self._call("copy"), tuple(text.encode() for text in field_prefixes)
        fields = self.library.c.vips_image_get_fields(bare.pointer)
        names = list(itertools.takewhile(bool, (fields[place] for place in itertools.count())))
        for name in names:
            if name.startswith(prefixes):
                self.library.c.vips_image_remove(bare.pointer, name)
        self.library.c.g_strfreev(fields)
        return bare

    def shrunk(self, width: int, height: int) -> "Picture":
        """Scale to exactly this size."""
        return self._call("thumbnail_image", c_int(width), b"height", c_int(height), b"size", c_int(SIZE_FORCE))

    def in_memory(self) -> "Picture":
        """Decode all pixels into memory, for random access."""
        self.library.c.vips_image_copy_memory.restype = c_void_p
        return self.library.wrap(self.library.c.vips_image_copy_memory(self.pointer))

    def crop(self, left: int, top: int, width: int, height: int) -> "Picture":
        """Return a rectangle of the picture."""
        return self._call("extract_area", c_int(left), c_int(top), c_int(width), c_int(height))

    def centred(self, side: int) -> "Picture":
        """Centre the picture on a transparent square of this side in pixels."""
        clear = self if self.has_alpha else self._call("addalpha")
        return clear._call("gravity", c_int(_CENTRE), c_int(side), c_int(side))

    def flattened(self, red_green_blue: tuple[int, int, int]) -> "Picture":
        """Fill transparent parts with a colour."""
        values = (c_double * 3)(*map(float, red_green_blue))
        array = c_void_p(self.library.c.vips_array_double_new(values, c_int(3)))
        try:
            return self._call("flatten", b"background", array)
        finally:
            self.library.c.vips_area_unref(array)

    def write(self, path: str, options: str) -> None:
        """Encode into a file; the extension selects the format."""
        name = f"{path}[{options}]".encode()
        if self.library.c.vips_image_write_to_file(self.pointer, name, None):
            raise VipsError(self.library.error_text())

    def decode(self) -> None:
        """Decode all pixels once; raises `VipsError` when one cannot be decoded."""
        self.average()

    def average(self) -> float:
        """Decode all pixels and return the average of their samples."""
        return self._number("avg")

    def _number(self, operation: str) -> float:
        """Call `vips_<operation>(in, &number)`."""
        value = c_double()
        if getattr(self.library.c, f"vips_{operation}")(self.pointer, byref(value), None):
            raise VipsError(self.library.error_text())
        return value.value

    def _call(self, operation: str, *arguments: Any) -> "Picture":
        """Call `vips_<operation>(in, &out, arguments…)`."""
        out = c_void_p()
        failed = getattr(self.library.c, f"vips_{operation}")(self.pointer, byref(out), *arguments, None)
        result = self.library.wrap(None if failed else out.value)
        result.kept = (self,)
        return result
