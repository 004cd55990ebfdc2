"""The detector on pictures of known content: as drawn, blurred, noisy, pale, and foreign."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from services.common.world.detector import detect
from services.common.world.drawing import BACKGROUND, PALETTE, draw_scene
from services.common.world.scenes import COLORS, SHAPES, Scene, Thing

RADII = (5, 6, 7, 8, 9)
Y, X = np.mgrid[-16:16, -16:16]


def canvas(mask=None, color=(40, 80, 230)):
    pixels = np.full((32, 32, 3), BACKGROUND, np.uint8)
    if mask is not None:
        pixels[mask] = color
    return pixels


def blurred(pixels, radius):
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def noisy(pixels, seed=0):
    noise = np.random.default_rng(seed).integers(-10, 11, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def looks(pixels):
    return [(d.color, d.shape) for d in detect(pixels)]


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", RADII)
def test_each_thing_is_found_where_it_is(color, shape, radius):
    thing = Thing(color, shape, 14, 17, radius)
    (found,) = detect(draw_scene(Scene((thing,))))
    assert (found.color, found.shape) == (color, shape)
    assert np.abs(np.subtract(found.box, thing.box)).max() <= 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", RADII)
def test_blur_noise_and_paleness_hide_no_shape(shape, radius):
    for color in COLORS:
        pixels = draw_scene(Scene((Thing(color, shape, 16, 15, radius),)))
        pale = (138 + (pixels.astype(float) - 138) * 0.7).astype(np.uint8)
        for worn in (noisy(pixels), blurred(pixels, 1.0), noisy(blurred(pixels, 1.0)), pale):
            assert looks(worn) == [(color, shape)]


def test_an_empty_or_only_noisy_picture_holds_nothing():
    assert detect(canvas()) == []
    assert detect(noisy(canvas())) == []


@pytest.mark.parametrize(
    "mask",
    [
        np.abs(X) + np.abs(Y) <= 7,
        (X**2 + Y**2 <= 49) & (X**2 + Y**2 >= 16),
        (np.abs(X) <= (7 - Y) / 2) & (np.abs(Y) <= 7),
        (np.abs(X) <= 7) & (np.abs(Y) <= 7) & ((X <= -2) | (Y >= 2)),
        (np.abs(X) <= 3) & (np.abs(Y) <= 8),
        (np.abs(X) <= 2) & (np.abs(Y) <= 2),
        (np.abs(X) <= 13) & (np.abs(Y) <= 13),
        ((X + 5) ** 2 + Y**2 <= 25) | ((X - 5) ** 2 + Y**2 <= 25),
    ],
    ids=["diamond", "ring", "pointing down", "corner", "bar", "dot", "too large", "two joined"],
)
def test_what_is_no_shape_of_the_world_has_a_color_only(mask):
    assert looks(canvas(mask)) == [("blue", None)]


def test_a_color_that_is_not_of_the_palette_is_seen_as_foreign():
    for color in ((255, 255, 255), (10, 10, 10)):
        assert looks(canvas((np.abs(X) <= 5) & (np.abs(Y) <= 5), color)) == [(None, None)]


def test_a_speck_or_a_stain_is_no_thing():
    assert looks(canvas((np.abs(X) <= 1) & (np.abs(Y) <= 1))) == []
    stain = np.array(BACKGROUND) + 0.4 * (np.array(PALETTE["red"]) - BACKGROUND)
    assert looks(canvas((np.abs(X) <= 6) & (np.abs(Y) <= 6), stain)) == []


def test_things_of_one_color_are_told_apart_when_they_do_not_touch():
    pixels = draw_scene(Scene((Thing("red", "circle", 7, 7, 6),)))
    pixels[17:30, 17:30] = PALETTE["red"]
    assert looks(pixels) == [("red", "circle"), ("red", "square")]


def test_touching_things_of_different_colors_are_told_apart():
    pixels = canvas()
    pixels[8:21, 3:16] = PALETTE["red"]
    pixels[8:21, 16:29] = PALETTE["cyan"]
    assert sorted(looks(pixels)) == [("cyan", "square"), ("red", "square")]


def test_any_pixels_at_all_are_borne():
    for value in (0, 255):
        detect(np.full((32, 32, 3), value, np.uint8))
    for seed in range(20):
        detect(np.random.default_rng(seed).integers(0, 256, (32, 32, 3)).astype(np.uint8))
