"""Images that steps log: PNG or JPEG of a limited size.

No package is imported: figures, images and arrays have the methods that are needed here.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any

from flowyml_aws.core.errors import UnloggableValueError

__all__ = ["MAX_IMAGE_BYTES", "Picture", "picture_of"]

MAX_IMAGE_BYTES = 32 * 1024
"""Maximum size of an image that is kept."""

_SHRINK = 0.75  # factor of each side between two tries
_TRIES = 25  # the sides are then 1/1,000 as long
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_COLORS = {1: 0, 3: 2, 4: 6}  # the color type of PNG, by the number of channels


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded image.

    Attributes:
        media_type: `image/png` or `image/jpeg`.
    """

    data: bytes
    media_type: str


def picture_of(name: str, image: Any) -> Picture:
    """Return an image as a PNG or JPEG that is small enough.

    Args:
        name: Name of the image, for error messages.
        image: Bytes, a matplotlib figure, a Pillow image or an array.

    Raises:
        UnloggableValueError: It is not an image, or it is too large.
    """
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _of_bytes(name, bytes(image))
    if callable(getattr(image, "savefig", None)):
        return _shrunk(name, lambda scale: _of_figure(image, scale))
    if callable(getattr(image, "thumbnail", None)) and callable(getattr(image, "save", None)):
        return _shrunk(name, lambda scale: _of_pillow(image, scale))
    if callable(getattr(image, "__array__", None)):
        pixels = _pixels(name, image.__array__())
        return _shrunk(name, lambda scale: _of_pixels(pixels, scale))
    raise UnloggableValueError(
        what=f"Image {name!r} is not an image: got {type(image).__name__}",
        why="images are PNG or JPEG as bytes, matplotlib figures, Pillow images and arrays",
        fix="pass one of these; for a file, its content: Path(…).read_bytes()",
    )


def _of_bytes(name: str, data: bytes) -> Picture:
    if len(data) > MAX_IMAGE_BYTES:
        raise UnloggableValueError(
            what=f"Image {name!r} is too large: {len(data):,} bytes",
            why=f"the limit is {MAX_IMAGE_BYTES:,} bytes (32 KiB)",
            fix="pass the figure, the Pillow image or the array, which is made smaller; or return "
            "the image as an output",
        )
    if data.startswith(_PNG):
        return Picture(data, "image/png")
    if data.startswith(_JPEG):
        return Picture(data, "image/jpeg")
    raise UnloggableValueError(
        what=f"Image {name!r} is neither a PNG nor a JPEG",
        why=f"its bytes start with {data[:8]!r}",
        fix="encode it as PNG",
    )


def _shrunk(name: str, encode: Any) -> Picture:
    """Return the largest encoding that fits."""
    scale = 1.0
    for _ in range(_TRIES):
        data: bytes = encode(scale)
        if len(data) <= MAX_IMAGE_BYTES:
            return Picture(data, "image/png")
        # The size depends on the number of pixels: a few tries are enough.
        scale *= max(0.25, min(_SHRINK, (MAX_IMAGE_BYTES / len(data)) ** 0.5))
    raise UnloggableValueError(
        what=f"Image {name!r} is too large",
        why=f"it has more than {MAX_IMAGE_BYTES:,} bytes (32 KiB), also with few pixels",
        fix="log a simpler image, or return it as an output",
    )


def _of_figure(figure: Any, scale: float) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=max(1.0, figure.dpi * scale))
    return buffer.getvalue()


def _of_pillow(image: Any, scale: float) -> bytes:
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
        image = image.convert("RGB")
    if scale < 1:
        width, height = image.size
        image = image.resize((max(1, int(width * scale)), max(1, int(height * scale))))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _pixels(name: str, array: Any) -> Any:
    """Return an array of height × width × channels with bytes."""
    if array.ndim == 2:
        array = array[:, :, None]
    shape = tuple(array.shape)
    if array.ndim != 3 or shape[2] not in _COLORS or 0 in shape or array.dtype.kind not in "biuf":
        raise UnloggableValueError(
            what=f"Image {name!r} is not an image: an array of {array.dtype} with shape {shape}",
            why="an image is an array of numbers with height × width, or height × width × 1, 3 or "
            "4 channels",
            fix="pass such an array; channels come last: array.transpose(1, 2, 0)",
        )
    if array.dtype.kind == "b":
        return array.astype("uint8") * 255
    if array.dtype.kind == "f":
        visible = array.clip(0, 1)
        visible[visible != visible] = 0  # NaN
        return (visible * 255).round().astype("uint8")
    return array.clip(0, 255).astype("uint8")


def _of_pixels(pixels: Any, scale: float) -> bytes:
    stride = max(1, round(1 / scale))
    part = pixels[::stride, ::stride]
    height, width, channels = part.shape
    # W3C, "Portable Network Graphics (PNG) Specification": each row begins with its filter, 0.
    rows = b"".join(b"\0" + row.tobytes() for row in part)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLORS[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return _PNG + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
