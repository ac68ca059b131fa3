"""Scales numbers that are no brightness, such as heights or measurements, to the range from black to white."""

import math
from collections.abc import Callable

from converto_engines.pictures.sandboxed import libvips
from converto_engines.runtime.sandboxed.protocol import Refused

Range = tuple[float, float]
UCHAR, _USHORT, _COMPLEX, _DOUBLE_COMPLEX = 0, 2, 7, 9  # VipsBandFormat
_NOMINAL = {1: 2**7 - 1, _USHORT: 2**16 - 1, 3: 2**15 - 1, 4: 2**32 - 1, 5: 2**31 - 1}
"""The opaque value of alpha by format; 1 for the others."""
_MULTIBAND, _RGB = 0, 17  # VipsInterpretation
_PLAIN = (_MULTIBAND, libvips.GREY, _RGB, libvips.SRGB, libvips.RGB16, libvips.GREY16, libvips.LINEAR_RGB)
_TWELVE_BITS = 4095
"""A 16-bit picture without a larger sample comes from a 12-bit camera or scanner, and would be black."""
_WHITE = 65_535
BLACK_TO_WHITE = (0.0, 1.0)
"""The usual range of floating-point colours: they only change their format."""


def range_of(opened: Callable[[], libvips.Picture]) -> Range | None:
    """Return the lowest and the highest sample to be scaled; None when the samples are a brightness.

    `opened` opens the picture anew, because a streamed picture can be read once only.
    """
    picture = opened()
    if picture.format in {_COMPLEX, _DOUBLE_COMPLEX}:
        raise Refused("unsupported", "Pictures with complex numbers are not supported")
    if picture.format == UCHAR or picture.interpretation not in _PLAIN:
        return None
    low, high = opened().colours().lowest(), opened().colours().highest()
    if not math.isfinite(low) or not math.isfinite(high):
        raise Refused("unsupported", "Pictures with infinite numbers are not supported")
    if picture.format == _USHORT:
        return (0, high) if 0 < high <= _TWELVE_BITS else None
    is_light = picture.interpretation == libvips.LINEAR_RGB and low >= 0 and high <= 1
    return BLACK_TO_WHITE if is_light else (low, high)


def scaled(picture: libvips.Picture, samples: Range) -> libvips.Picture:
    """Return the picture in 16 bits, the lowest sample black and the highest white; alpha keeps its meaning."""
    low, high = samples
    is_float_colour = picture.interpretation == libvips.LINEAR_RGB
    top = 1 if is_float_colour else _WHITE
    factor = top / (high - low) if high > low else 1.0
    colours = picture.colours().linear(factor, -low * factor)
    if is_float_colour:
        colours = colours.labelled(libvips.LINEAR_RGB).in_colours(libvips.RGB16)
    made = colours.cast(_USHORT)
    if picture.has_alpha:
        opaque = _NOMINAL.get(picture.format, 1)
        made = made.joined(picture.alpha().linear(_WHITE / opaque, 0).cast(_USHORT))
    return made.labelled(libvips.RGB16 if colours.bands >= 3 else libvips.GREY16)
