"""TIFF: each structure that is read comes out as drawn; each that is not is refused by its name."""

import io
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from runtime.model.errors import ImageError, ImageErrorCode
from runtime.model.image import MAX_PIXELS, ImageArray, decode_image
from tests.runtime.formats.tiff_file import DEFLATE, LZW, PACKBITS, RAW, ZSTD, Tag, write

HEIGHT, WIDTH = 37, 43  # no side of which is a whole number of strips, tiles or bytes
SHAPES: list[dict[str, Any]] = [{"rows": 9}, {"tile": (16, 32)}]
ORDERS = ["<", ">"]


def drawn(bits: int, count: int, seed: int = 0) -> NDArray[Any]:
    """Samples over all of their range, both ends included, that no turn or swap leaves as they are."""
    largest = 2**bits - 1
    y, x, band = np.mgrid[0:HEIGHT, 0:WIDTH, 0:count]
    values = (y * 1009 + x * 9176 + band * 30011 + seed + (x * x * y)) % (largest + 1)
    values[0, 0], values[-1, -1] = 0, largest
    samples: NDArray[Any] = values.astype(np.uint8 if bits <= 8 else np.uint16)
    return samples


def as_eight(values: NDArray[Any], largest: float) -> NDArray[np.uint8]:
    return np.rint(values.astype(np.float64) * 255 / largest).astype(np.uint8)


def as_rgb(eight: NDArray[np.uint8]) -> ImageArray:
    return np.repeat(eight, 3, axis=2) if eight.shape[2] == 1 else eight


def refused(data: bytes, max_value: int | None = None) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(data, max_value=max_value)
    assert caught.value.code is ImageErrorCode.UNSUPPORTED
    return str(caught.value)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 10, 12, 14, 16])
def test_grey_of_every_depth_is_scaled_by_its_bits(
    bits: int, photometric: int, order: str, shape: dict[str, Any]
) -> None:
    samples = drawn(bits, 1)
    eight = as_eight(samples, 2**bits - 1)
    expected = as_rgb(255 - eight if photometric == 0 else eight)
    for compression in (RAW, DEFLATE):
        data = write(samples, photometric, bits, order=order, compression=compression, **shape)
        np.testing.assert_array_equal(decode_image(data), expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("bits", [4, 8, 12, 16])
def test_rgb_of_every_depth_in_planes_or_not(bits: int, planar: bool, order: str, shape: dict[str, Any]) -> None:
    samples = drawn(bits, 3)
    for compression in (RAW, LZW):
        data = write(samples, 2, bits, planar=planar, order=order, compression=compression, **shape)
        np.testing.assert_array_equal(decode_image(data), as_eight(samples, 2**bits - 1))


@pytest.mark.parametrize(
    ("compression", "predictor"),
    [(LZW, 1), (LZW, 2), (DEFLATE, 1), (DEFLATE, 2), (32946, 2), (PACKBITS, 1), (ZSTD, 1), (ZSTD, 2)],
)
@pytest.mark.parametrize("count", [1, 3, 5])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("shape", [{"rows": 20}, {"tile": (16, 32)}])
def test_compressions_and_predictors_give_the_samples_back(
    compression: int, count: int, bits: int, predictor: int, shape: dict[str, Any]
) -> None:
    samples = drawn(bits, count)
    for planar in (False, True):
        data = write(
            samples, 1 if count == 1 else 2, bits, compression=compression, predictor=predictor, planar=planar, **shape
        )
        expected = as_rgb(as_eight(samples[..., :3], 2**bits - 1))
        np.testing.assert_array_equal(decode_image(data), expected)


@pytest.mark.parametrize("order", ORDERS)
def test_bigtiff_is_read(order: str) -> None:
    samples = drawn(16, 3)
    data = write(samples, 2, 16, order=order, big=True, rows=7)
    np.testing.assert_array_equal(decode_image(data), as_eight(samples, 65535))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("compression", [1, 5, 8, 32773])  # none, LZW, Deflate, PackBits
def test_another_librarys_files_come_out_as_it_reads_them(bits: int, count: int, compression: int) -> None:
    samples = drawn(bits, count)
    ok, encoded = cv2.imencode(".tif", samples[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    assert ok
    read = cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)
    assert read is not None
    np.testing.assert_array_equal(read.reshape(samples.shape)[..., ::-1], samples)
    np.testing.assert_array_equal(decode_image(encoded.tobytes()), as_rgb(as_eight(samples, 2**bits - 1)))


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("compression", [RAW, LZW, DEFLATE])
@pytest.mark.parametrize("order", ORDERS)
def test_bits_stated_below_16_and_not_packed_are_scaled_by_the_stated_bits(
    bits: int, compression: int, order: str
) -> None:
    samples = drawn(bits, 1)
    data = write(samples, 1, 16, order=order, compression=compression, rows=9, tags={258: (3, [bits])})
    np.testing.assert_array_equal(decode_image(data), as_rgb(as_eight(samples, 2**bits - 1)))


@pytest.mark.parametrize("tag", [281, 341])
@pytest.mark.parametrize("bits", [9, 10, 12, 14])
def test_16_bits_with_a_stated_largest_value_are_scaled_by_it(bits: int, tag: int) -> None:
    samples = drawn(bits, 3)
    data = write(samples, 2, 16, tags={tag: (3, [2**bits - 1] * 3)})
    np.testing.assert_array_equal(decode_image(data), as_eight(samples, 2**bits - 1))
    np.testing.assert_array_equal(decode_image(data, max_value=65535), as_eight(samples, 2**bits - 1))


def test_sample_above_the_stated_largest_is_refused_and_not_clipped() -> None:
    assert "outside of 0 to 4095" in refused(write(drawn(14, 1), 1, 16, tags={281: (3, [4095])}))


def test_largest_value_that_is_no_depth_may_be_the_pictures_own_and_scales_nothing() -> None:
    samples = np.minimum(drawn(12, 1), 3000)
    data = write(samples, 1, 16, tags={281: (3, [3000])})
    message = refused(data)
    assert "3000 as the largest value of its 16 bits" in message
    assert "contract.max_value" in message
    assert "scale the samples from their true range to 0 to 65535" in message
    np.testing.assert_array_equal(decode_image(data, max_value=4095), as_rgb(as_eight(samples, 4095)))


def test_stated_largest_value_above_the_contracts_is_a_contradiction_whatever_the_samples() -> None:
    data = write(np.minimum(drawn(12, 1), 3000), 1, 16, tags={341: (3, [10000])})
    assert "10000 as the largest value of its 16 bits, which lies above 4095" in refused(data, max_value=4095)


def test_bands_that_state_different_ranges_need_the_contracts() -> None:
    samples = np.minimum(drawn(12, 3), 3900)
    data = write(samples, 2, 16, tags={281: (3, [3900, 3899, 3898])})
    assert "3900 as the largest value" in refused(data)
    np.testing.assert_array_equal(decode_image(data, max_value=4095), as_eight(samples, 4095))
    floats = write(samples.astype(np.float32), 2, 32, tags={341: (11, [3900.0, 3899.0, 3898.0])})
    assert "bands that state different ranges" in refused(floats)
    np.testing.assert_array_equal(decode_image(floats, max_value=4095), as_eight(samples, 4095))


@pytest.mark.parametrize("max_value", [1023, 4095, 16383, 40000])
@pytest.mark.parametrize("photometric", [0, 1])
def test_contract_states_the_range_of_16_bits_that_state_none(max_value: int, photometric: int) -> None:
    samples = drawn(16, 1) % (max_value + 1)
    samples[0, 0] = max_value
    eight = as_eight(samples, max_value)
    expected = as_rgb(255 - eight if photometric == 0 else eight)
    np.testing.assert_array_equal(decode_image(write(samples, photometric, 16), max_value=max_value), expected)
    samples[3, 3] = max_value + 1
    assert f"outside of 0 to {max_value}" in refused(write(samples, photometric, 16), max_value)


def test_contract_changes_nothing_that_states_its_own_range() -> None:
    for bits in (1, 8, 12):
        samples = drawn(bits, 1)
        data = write(samples, 1, bits)
        np.testing.assert_array_equal(decode_image(data, max_value=1023), decode_image(data))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("photometric", [0, 1, 2])
@pytest.mark.parametrize("predictor", [1, 3])
def test_floats_are_from_0_to_1_whatever_is_brightest(dtype: str, order: str, photometric: int, predictor: int) -> None:
    samples = (drawn(8, 3 if photometric == 2 else 1) / 255 * 0.8).astype(dtype)
    eight = np.rint(samples.astype(np.float64) * 255).astype(np.uint8)
    expected = as_rgb(255 - eight if photometric == 0 else eight)
    bits = samples.dtype.itemsize * 8
    data = write(samples, photometric, bits, order=order, predictor=predictor, compression=DEFLATE, rows=8)
    np.testing.assert_array_equal(decode_image(data), expected)


@pytest.mark.parametrize("largest", [1.3, 255.0, 65535.0])
def test_floats_beyond_1_are_refused_and_told_how_to_state_the_range(largest: float) -> None:
    samples = (drawn(8, 1) / 255 * largest).astype(np.float32)
    assert "contract.max_value" in refused(write(samples, 1, 32))
    stated = write(samples, 1, 32, tags={340: (11, [0.0]), 341: (11, [largest])})
    np.testing.assert_array_equal(decode_image(stated), as_rgb(as_eight(samples, float(np.float32(largest)))))


def test_contract_states_the_range_of_floats_and_of_counts() -> None:
    counts = drawn(12, 1)
    for dtype in ("f4", "f8", "u4", "i2", "i4"):
        samples = counts.astype(dtype)
        data = write(samples, 1, samples.dtype.itemsize * 8)
        np.testing.assert_array_equal(decode_image(data, max_value=4095), as_rgb(as_eight(counts, 4095)))


def test_floats_up_to_1_are_not_taken_for_counts_of_a_dark_picture() -> None:
    samples = (drawn(8, 1) / 255).astype(np.float32)
    assert "up to 1, for a model whose samples go up to 4095" in refused(write(samples, 1, 32), 4095)
    assert not decode_image(write(samples * 0, 1, 32), max_value=4095).any()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_floats_that_are_no_numbers_are_refused(wrong: float) -> None:
    samples = (drawn(8, 1) / 255).astype(np.float32)
    samples[5, 5] = wrong
    assert "no finite numbers" in refused(write(samples, 1, 32))


@pytest.mark.parametrize("dtype", ["u4", "i1", "i2", "i4"])
def test_counts_without_a_stated_range_are_refused_with_one_they_are_scaled(dtype: str) -> None:
    samples = (drawn(8, 1).astype(int) % 101 - (0 if dtype == "u4" else 50)).astype(dtype)
    low, high = int(samples.min()), int(samples.max())
    bits = samples.dtype.itemsize * 8
    assert "contract.max_value" in refused(write(samples, 1, bits))
    kind = {"u4": 4, "i1": 6, "i2": 8, "i4": 9}[dtype]
    stated = write(samples, 1, bits, tags={340: (kind, [low]), 341: (kind, [high])})
    np.testing.assert_array_equal(decode_image(stated), as_rgb(as_eight(samples.astype(int) - low, high - low)))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("extra", [None, [0], [0, 0], [0, 0, 0, 0, 0]])
def test_bands_beyond_rgb_without_a_meaning_are_no_transparency(
    bits: int, planar: bool, extra: list[int] | None
) -> None:
    samples = drawn(bits, 3 + len(extra or [0]))
    tags: dict[int, Tag] = {} if extra is None else {338: (3, extra)}
    data = write(samples, 2, bits, planar=planar, tags=tags)
    np.testing.assert_array_equal(decode_image(data), as_eight(samples[..., :3], 2**bits - 1))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize(("photometric", "colours"), [(1, 1), (2, 3)])
@pytest.mark.parametrize("kind", [1, 2])
def test_transparency_is_laid_over_white(bits: int, planar: bool, photometric: int, colours: int, kind: int) -> None:
    largest = 2**bits - 1
    samples = drawn(bits, colours + 1).astype(np.float64)
    alpha = samples[..., -1:] / largest
    seen = samples[..., :-1] * alpha + largest * (1 - alpha)
    if kind == 1:
        samples[..., :-1] *= alpha
    stored = np.rint(samples).astype(np.uint8 if bits == 8 else np.uint16)
    decoded = decode_image(write(stored, photometric, bits, planar=planar, tags={338: (3, [kind])}))
    assert np.abs(decoded - as_rgb(as_eight(seen, largest)).astype(int)).max() <= 1


@pytest.mark.parametrize("extra", [None, [0]])
@pytest.mark.parametrize("planar", [False, True])
def test_band_beyond_grey_without_a_meaning_is_no_transparency(extra: list[int] | None, planar: bool) -> None:
    samples = drawn(16, 2)
    tags: dict[int, Tag] = {} if extra is None else {338: (3, extra)}
    data = write(samples, 1, 16, planar=planar, tags=tags)
    np.testing.assert_array_equal(decode_image(data), as_rgb(as_eight(samples[..., :1], 65535)))


def test_alpha_behind_an_unspecified_band_is_found() -> None:
    samples = drawn(8, 5)
    samples[..., 4] = 255
    data = write(samples, 2, 8, tags={338: (3, [0, 2])})
    np.testing.assert_array_equal(decode_image(data), samples[..., :3])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("bands", [4, 5])
def test_cmyk_shows_its_colours_at_every_depth(bits: int, planar: bool, bands: int) -> None:
    inks = drawn(8, bands)
    samples = inks if bits == 8 else inks.astype(np.uint16) * 257
    expected = np.asarray(Image.frombytes("CMYK", (WIDTH, HEIGHT), inks[..., :4].tobytes()).convert("RGB"))
    np.testing.assert_array_equal(decode_image(write(samples, 5, bits, planar=planar)), expected)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("step", [257, 256, 1])
def test_palettes_of_every_depth_are_looked_up(bits: int, step: int) -> None:
    """A map means 16 bits; some writers fill only the upper byte, and some write 8 bits."""
    samples = drawn(bits, 1)
    colours = np.random.default_rng(bits).integers(0, 256, (2**bits, 3), dtype=np.uint16)
    data = write(samples, 3, bits, tags={320: (3, (colours * step).T.reshape(-1).tolist())})
    np.testing.assert_array_equal(decode_image(data), colours.astype(np.uint8)[samples[..., 0]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_turns_deep_pictures_too(orientation: int) -> None:
    eight, deep = drawn(8, 3), drawn(8, 3).astype(np.uint16) * 257
    tags: dict[int, Tag] = {274: (3, [orientation])}
    file = io.BytesIO()
    Image.fromarray(eight).save(file, "PNG", exif=_exif(orientation))
    expected = decode_image(file.getvalue())
    np.testing.assert_array_equal(decode_image(write(eight, 2, 8, tags=tags)), expected)
    np.testing.assert_array_equal(decode_image(write(deep, 2, 16, tags=tags, order=">")), expected)


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def test_bits_in_reversed_order_are_turned_back() -> None:
    """FillOrder 2, of fax machines."""
    samples = drawn(8, 1)
    turned = np.packbits(np.unpackbits(samples.reshape(-1, 1), axis=1)[:, ::-1], axis=1).reshape(samples.shape)
    for compression in (RAW, LZW):
        data = write(turned if compression == RAW else samples, 1, 8, compression=compression, tags={266: (3, [2])})
        if compression == LZW:
            data = _with_reversed_strip(data)
        np.testing.assert_array_equal(decode_image(data), as_rgb(samples))


def _with_reversed_strip(data: bytes) -> bytes:
    table = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
    end = int.from_bytes(data[4:8], "little")
    return data[:8] + data[8:end].translate(table) + data[end:]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"photometric": 8, "count": 3}, r"CIE L\*a\*b\* colour"),
        ({"photometric": 9, "count": 3}, r"ICC L\*a\*b\* colour"),
        ({"photometric": 4}, "a transparency mask"),
        ({"photometric": 9999}, "the photometric interpretation 9999"),
        ({"photometric": 1, "count": 3}, "grey with 3 bands"),
        ({"tags": {262: (3, [1]), 258: (3, [24])}}, "24-bit unsigned samples"),
        ({"tags": {258: (3, [64]), 339: (3, [6])}}, "64-bit complex samples"),
        ({"tags": {258: (3, [24]), 339: (3, [3])}}, "24-bit floating-point samples"),
        ({"tags": {258: (3, [64])}}, "64-bit unsigned samples"),
        ({"count": 3, "photometric": 2, "tags": {258: (3, [5, 6, 5])}}, r"different bits \(5, 6\)"),
        ({"count": 3, "photometric": 2, "tags": {339: (3, [1, 1, 3])}}, r"different sample formats \(1, 3\)"),
        ({"tags": {259: (3, [6])}}, r"old-style JPEG compression \(6\)"),
        ({"tags": {259: (3, [34712])}}, "JPEG 2000 compression"),
        ({"tags": {259: (3, [34887])}}, "LERC compression"),
        ({"tags": {259: (3, [34925])}}, "LZMA compression"),
        ({"tags": {259: (3, [50002])}}, "JPEG XL compression"),
        ({"tags": {259: (3, [12345])}}, "the compression 12345"),
        ({"tags": {258: (3, [16]), 259: (3, [7])}}, "16-bit samples in JPEG compression"),
        ({"tags": {259: (3, [4])}}, "8-bit samples in CCITT compression"),
        ({"photometric": 5, "count": 4, "tags": {332: (3, [2])}}, "inks other than CMYK"),
        ({"tags": {258: (3, [12]), 259: (3, [8]), 317: (3, [2])}}, "12-bit samples with the predictor 2"),
        ({"tags": {259: (3, [5]), 317: (3, [34892])}}, "8-bit samples with the predictor 34892"),
        ({"photometric": 6, "count": 3, "tags": {530: (3, [3, 1])}}, "YCbCr samples at 3 x 1"),
        ({"tags": {277: (3, [300])}}, "300 bands"),
    ],
)
def test_what_is_not_read_is_refused_by_name_with_what_to_do(changes: dict[str, Any], reason: str) -> None:
    changes = {"photometric": 1, "count": 1, **changes}
    data = write(drawn(8, changes["count"]), changes["photometric"], 8, tags=changes.get("tags"))
    with pytest.raises(ImageError, match=f"a TIFF of {reason} is not accepted; save the picture as") as caught:
        decode_image(data)
    assert caught.value.code is ImageErrorCode.UNSUPPORTED


def test_picture_that_does_not_say_whether_it_is_a_negative_is_refused() -> None:
    data = write(drawn(8, 1), 1, 8).replace(b"\x06\x01\x03\0\x01\0\0\0\x01\0", b"\x07\x01\x03\0\x01\0\0\0\x01\0")
    assert "whether black or white is zero" in refused(data)


def test_pixels_are_limited_by_the_header() -> None:
    data = write(drawn(8, 1), 1, 8)
    assert decode_image(data, max_pixels=HEIGHT * WIDTH).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(ImageError, match="43 x 37 pixels; at most 1590") as caught:
        decode_image(data, max_pixels=HEIGHT * WIDTH - 1)
    assert caught.value.code is ImageErrorCode.TOO_MANY_PIXELS
    assert MAX_PIXELS > HEIGHT * WIDTH
