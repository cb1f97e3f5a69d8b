"""Colours: what a picture states is brought to sRGB, in one way for all formats; what is of no use is passed over."""

import io
import struct
import threading
import time
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from runtime.formats import colour
from runtime.model.errors import ImageErrorCode
from runtime.model.image import ImageArray, decode_image
from tests.runtime.formats.drawn_pictures import (
    assert_refused,
    assert_shows,
    chunk,
    drawn,
    encode,
    jpeg,
    matrix_profile,
    p3_to_srgb,
    rgb_png,
    segment,
)

PICTURE = drawn()
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
REC_709 = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
WIDE = matrix_profile(DISPLAY_P3, 2.2)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PROFILES = {
    "Display P3": WIDE,
    "Adobe RGB": matrix_profile(ADOBE_RGB, 563 / 256),
    "linear": matrix_profile(REC_709, 1.0),
    "gamma 1.8": matrix_profile(REC_709, 1.8),
}


def converted(pixels: NDArray[np.uint8], profile: bytes) -> ImageArray:
    """What Pillow and lcms make of it."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    target = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    image = ImageCms.profileToProfile(Image.fromarray(pixels), source, target)
    assert image is not None
    return np.asarray(image)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_embedded_profile_is_brought_to_srgb(kind: str, name: str) -> None:
    options: dict[str, dict[str, Any]] = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}
    truth = converted(PICTURE, PROFILES[name])
    assert np.abs(truth.astype(int) - PICTURE).mean() > 4
    assert_shows(
        encode(PICTURE, kind, icc_profile=PROFILES[name], **options.get(kind, {})),
        truth,
        mean=2 if kind == "JPEG" else 0,
    )


def test_colours_are_converted_at_reduced_scale() -> None:
    flat = np.tile(np.array([200, 60, 30], np.uint8), (1600, 1600, 1))
    data = jpeg(flat, icc_profile=WIDE)
    decoded = decode_image(data, at_least=(200, 200))
    assert decoded.shape == (200, 200, 3)
    assert np.abs(decoded.astype(int) - converted(flat[:1, :1], WIDE)).max() <= 2


@pytest.mark.parametrize("profile", [SRGB, matrix_profile(REC_709, 2.2)], ids=["sRGB", "power of 2.2"])
def test_profile_is_told_by_what_it_does_and_never_by_its_name(profile: bytes) -> None:
    """A power of 2.2 is not sRGB: dark colours differ by up to 7."""
    decoded = decode_image(encode(PICTURE, "PNG", icc_profile=profile))
    if profile == SRGB:
        np.testing.assert_array_equal(decoded, PICTURE)
    else:
        assert np.abs(decoded.astype(int) - PICTURE).max() > 3


def test_profile_that_is_nearly_srgb_changes_nothing() -> None:
    data = bytearray(SRGB)
    data[4:8] = b"test"
    np.testing.assert_array_equal(decode_image(encode(PICTURE, "PNG", icc_profile=bytes(data))), PICTURE)


def absurd() -> bytes:
    return matrix_profile(((0.0, 0.0, 0.0),) * 3, 2.2)


@pytest.mark.parametrize(
    "profile",
    [
        b"x",
        WIDE[:100],
        WIDE[:300],
        WIDE[:128] + b"\xff" * 200,
        bytes(5000),
        absurd(),
        WIDE[:16] + b"CMYK" + WIDE[20:],
        WIDE[:16] + b"GRAY" + WIDE[20:],
        WIDE + bytes(colour.MAX_PROFILE_BYTES),
    ],
    ids=["byte", "header", "cut", "garbage", "zeros", "absurd", "CMYK", "grey", "huge"],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_profile_that_is_of_no_use_is_passed_over(kind: str, profile: bytes) -> None:
    plain = encode(PICTURE, kind)
    assert_shows(encode(PICTURE, kind, icc_profile=profile), decode_image(plain))


def test_profile_in_parts_is_joined_in_order_and_passed_over_if_one_is_missing() -> None:
    plain = jpeg(PICTURE)
    parts = [segment(0xE2, b"ICC_PROFILE\0" + bytes([i, 3]) + WIDE[200 * i - 200 : 200 * i]) for i in (1, 2)]
    parts.append(segment(0xE2, b"ICC_PROFILE\0\3\3" + WIDE[400:]))
    truth = decode_image(jpeg(PICTURE, icc_profile=WIDE))
    assert_shows(plain[:2] + parts[2] + parts[0] + parts[1] + plain[2:], truth)
    assert_shows(plain[:2] + parts[2] + parts[0] + plain[2:], decode_image(plain))


def test_transparency_stays_and_lies_over_white() -> None:
    pixels = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)])
    pixels[:20, :, 3] = 0
    truth = converted(PICTURE, WIDE).copy()
    truth[:20] = 255
    assert_shows(encode(pixels, "PNG", icc_profile=WIDE), truth)


def test_grey_pictures_take_profiles_of_grey_and_of_colours() -> None:
    grey = PICTURE[..., 0]
    truth = converted(np.repeat(grey[..., None], 3, axis=-1), PROFILES["linear"]).astype(int)
    assert_shows(encode(grey, "PNG", icc_profile=PROFILES["linear"]), truth)
    by_gamma = decode_image(rgb_grey(grey, GAMMA))
    assert np.abs(by_gamma - truth).max() <= 1
    assert (by_gamma == by_gamma[..., :1]).all()


def test_profile_of_grey_is_exact_in_the_dark() -> None:
    """A power of 1, as gamma 1 of a grey scanner: levels near black are spread most."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, 256) + b"\0\0"
    tags = struct.pack(">I", 2) + b"wtpt" + struct.pack(">II", 156, 20) + b"kTRC" + struct.pack(">II", 176, 16)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    head = bytes(8) + b"\x02\x20\0\0mntrGRAYXYZ " + bytes(12) + b"acsp" + bytes(28) + white[8:]
    body = head.ljust(128, b"\0") + tags + white + curve
    profile = struct.pack(">I", len(body)) + body[4:]
    ramp = np.arange(256, dtype=np.uint8)[None]
    light = ramp / 255
    truth = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    decoded = decode_image(encode(ramp, "PNG", icc_profile=profile))
    np.testing.assert_allclose(decoded[..., 0], truth, atol=0.6)
    np.testing.assert_allclose(decoded[..., 2], truth, atol=0.6)
    assert_shows(encode(PICTURE, "PNG", icc_profile=profile), PICTURE)  # of grey alone


def rgb_grey(grey: NDArray[np.uint8], before: bytes) -> bytes:
    whole = encode(grey, "PNG")
    return whole[:33] + before + whole[33:]


def cmyk_profile() -> bytes:
    """A table of two steps an ink to Lab: paper is L 100, black ink L 0, any other full ink a grey of L 50."""
    neutral = b"\x80\0\x80\0"
    corners = b"".join((b"\xff\0" if not i else b"\0\0" if i % 2 else b"\x7f\x80") + neutral for i in range(16))
    head = b"mft2\0\0\0\0\x04\x03\x02\0" + b"".join(struct.pack(">i", v << 16) for v in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    table = head + struct.pack(">HH", 2, 2) + b"\0\0\xff\xff" * 4 + corners + b"\0\0\xff\xff" * 3
    body = table.ljust(len(table) + -len(table) % 4, b"\0")
    tags = struct.pack(">I4sII", 1, b"A2B0", 144, len(body))
    header = bytes(8) + b"\x02\x20\0\0prtrCMYKLab " + bytes(12) + b"acsp" + bytes(28)
    header = (header + struct.pack(">3i", 63190, 65536, 54061)).ljust(128, b"\0")
    whole = header + tags + body
    return struct.pack(">I", len(whole)) + whole[4:]


def test_cmyk_takes_a_profile_of_cmyk_and_no_other() -> None:
    plain = decode_image(encode(PICTURE, "JPEG", "CMYK", quality=98))
    assert_shows(encode(PICTURE, "JPEG", "CMYK", quality=98, icc_profile=WIDE), plain)
    file = io.BytesIO()
    inks = Image.merge("CMYK", [Image.new("L", (16, 8), value) for value in (255, 0, 0, 0)])
    inks.paste((0, 0, 0, 0), (0, 0, 8, 8))
    inks.save(file, "JPEG", quality=98, icc_profile=cmyk_profile())
    decoded = decode_image(file.getvalue())
    np.testing.assert_allclose(decoded[2, 2], 255, atol=3)
    np.testing.assert_allclose(decoded[2, 13], 119, atol=3)  # L 50, where Pillow alone would show pure cyan


GAMMA = chunk(b"gAMA", struct.pack(">I", 100_000))
SRGB_GAMMA = chunk(b"gAMA", struct.pack(">I", 45_455))
P3_XY = chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))
SRGB_XY = chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
EMBEDDED = chunk(b"iCCP", b"wide\0\0" + zlib.compress(WIDE))


@pytest.mark.parametrize(
    ("chunks", "profile"),
    [
        (GAMMA, PROFILES["linear"]),
        (GAMMA + SRGB_XY, PROFILES["linear"]),
        (chunk(b"gAMA", struct.pack(">I", 55_556)), PROFILES["gamma 1.8"]),
        (SRGB_GAMMA, b""),
        (SRGB_GAMMA + SRGB_XY, b""),
        (SRGB_XY, b""),
        (GAMMA + chunk(b"sRGB", b"\0"), b""),
        (GAMMA + EMBEDDED, WIDE),
        (chunk(b"sRGB", b"\0") + EMBEDDED, WIDE),
        (EMBEDDED + chunk(b"cICP", b"\x01\x0d\0\x01"), b""),
        (chunk(b"cICP", b"\x01\x08\0\x01"), PROFILES["linear"]),
        (chunk(b"cICP", b"\xc8\x08\0\x01") + EMBEDDED, WIDE),
    ],
)
def test_numbers_of_a_png_are_colours_too_the_most_exact_first(chunks: bytes, profile: bytes) -> None:
    truth = converted(PICTURE, profile) if profile else PICTURE
    decoded = decode_image(rgb_png(PICTURE, chunks)).astype(int)
    assert np.abs(decoded - truth).max() <= (1 if profile else 0)


def test_chromaticities_of_display_p3_give_what_its_profile_gives() -> None:
    """Its curve is sRGB's; a saturated red leaves what sRGB can show."""
    by_numbers = decode_image(rgb_png(PICTURE, SRGB_GAMMA + P3_XY))
    by_code = decode_image(rgb_png(PICTURE, chunk(b"cICP", b"\x0c\x0d\0\x01")))
    assert np.abs(by_numbers.astype(int) - by_code).max() <= 1
    orange = np.tile(np.array([200, 100, 50], np.uint8), (4, 4, 1))
    decoded = decode_image(rgb_png(orange, chunk(b"cICP", b"\x0c\x0d\0\x01")))
    np.testing.assert_allclose(decoded[0, 0], p3_to_srgb([200, 100, 50]), atol=1)


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
@pytest.mark.parametrize("primaries", [9, 11])
@pytest.mark.parametrize("is_full", [0, 1])
def test_high_dynamic_range_is_refused_by_name(transfer: int, name: str, primaries: int, is_full: int) -> None:
    data = rgb_png(PICTURE, chunk(b"cICP", bytes([primaries, transfer, 0, is_full])))
    assert name in assert_refused(data, ImageErrorCode.UNSUPPORTED)


def test_samples_in_the_range_of_video_are_refused_and_not_shown_washed_out() -> None:
    message = assert_refused(rgb_png(PICTURE, chunk(b"cICP", b"\x01\x01\0\0")), ImageErrorCode.UNSUPPORTED)
    assert "range of video" in message
    assert "sRGB" in message


def test_transforms_are_kept_within_a_bound_and_shared_by_threads() -> None:
    colour._transforms.clear()
    profiles = [matrix_profile(DISPLAY_P3, 1.0 + i / 50) for i in range(20)]
    images = [encode(PICTURE, "PNG", icc_profile=profile) for profile in profiles]
    truth = [converted(PICTURE, profile) for profile in profiles]
    wrong: list[int] = []

    def read(first: int) -> None:
        for index in [*range(first, 20), *range(first)]:
            if not np.array_equal(decode_image(images[index]), truth[index]):
                wrong.append(index)

    threads = [threading.Thread(target=read, args=(first,)) for first in (0, 3, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(colour._transforms) == colour._KEPT


def test_second_picture_of_a_profile_builds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(PICTURE, "PNG", icc_profile=WIDE)
    first = decode_image(data)
    monkeypatch.setattr(colour, "_build", lambda profile, mode: pytest.fail("built again"))
    np.testing.assert_array_equal(decode_image(data), first)


def test_building_from_the_largest_table_takes_no_long_time() -> None:
    """A profile of garbage as large as is read, so that lcms looks at it."""
    rng = np.random.default_rng(0)
    data = WIDE[:128] + rng.integers(0, 256, colour.MAX_PROFILE_BYTES - 128, dtype=np.uint8).tobytes()
    start = time.thread_time()
    colour.to_srgb(Image.fromarray(PICTURE), data)
    assert time.thread_time() - start < 1
