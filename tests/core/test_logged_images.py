"""Images that steps log: encoded, and made smaller."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from flowyml_aws.core.errors import UnloggableValueError
from flowyml_aws.core.logged_images import MAX_IMAGE_BYTES, picture_of

Image = pytest.importorskip("PIL.Image")  # a dependency of matplotlib


def opened(image: Any) -> Any:
    picture = picture_of("plot", image)
    assert picture.media_type == "image/png" and len(picture.data) <= MAX_IMAGE_BYTES
    return Image.open(io.BytesIO(picture.data))


def noise(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_an_array_becomes_a_png_with_the_same_pixels() -> None:
    pixels = noise(10, 20, 3)
    assert np.array_equal(np.asarray(opened(pixels)), pixels)


@pytest.mark.parametrize(
    ("array", "value"),
    [
        (np.full((2, 3), 0.5), 128),
        (np.full((2, 3), 7.5), 255),
        (np.full((2, 3, 1), np.nan), 0),
        (np.full((2, 3), -5), 0),
        (np.full((2, 3), True), 255),
    ],
)
def test_numbers_become_shades(array: Any, value: int) -> None:
    image = opened(array)
    assert (image.size, image.mode) == ((3, 2), "L")
    assert np.asarray(image).tolist() == [[value] * 3] * 2


@pytest.mark.parametrize("shape", [(900, 1200), (900, 1200, 3), (900, 1200, 4)])
def test_large_arrays_are_made_smaller_with_their_proportions(shape: tuple[int, ...]) -> None:
    width, height = opened(noise(*shape)).size
    assert width > 60 and width / height == pytest.approx(4 / 3, rel=0.05)


def test_a_large_pillow_image_is_made_smaller() -> None:
    width, height = opened(Image.fromarray(noise(900, 1200, 3))).size
    assert width > 60 and width / height == pytest.approx(4 / 3, rel=0.05)


def test_a_figure_is_drawn_with_fewer_pixels_until_it_fits() -> None:
    figure = Figure(figsize=(8, 6), dpi=200)
    figure.subplots().imshow(noise(500, 500))
    width, height = opened(figure).size
    assert width / height == pytest.approx(4 / 3, rel=0.05)


def test_bytes_are_kept_as_they_are() -> None:
    jpeg = b"\xff\xd8\xff\xe0rest"
    assert picture_of("photo", jpeg).data == jpeg
    assert picture_of("photo", bytearray(jpeg)).media_type == "image/jpeg"


def test_too_many_bytes_are_an_error_that_names_the_limit() -> None:
    with pytest.raises(UnloggableValueError, match=r"32,768 bytes \(32 KiB\)"):
        picture_of("plot", b"\x89PNG\r\n\x1a\n" + bytes(MAX_IMAGE_BYTES))


@pytest.mark.parametrize("image", [b"GIF89a", "plot.png", None, np.zeros(3), np.zeros((2, 2, 5))])
def test_other_values_are_errors_that_name_the_image(image: Any) -> None:
    with pytest.raises(UnloggableValueError, match="Image 'plot'"):
        picture_of("plot", image)
