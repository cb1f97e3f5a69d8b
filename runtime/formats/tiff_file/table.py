"""Which colours, samples and compressions of a TIFF are known to be read right; all others are refused by name."""

from runtime.formats.tiff_file.directory import Directory
from runtime.formats.tiff_file.errors import corrupt, refusal

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
RAW, LZW, JPEG, PACKBITS, ZSTD, WEBP = 1, 5, 7, 32773, 50000, 50001
DEFLATE = (8, 32946)
CCITT = (2, 3, 4)
STREAMS = (LZW, *DEFLATE, PACKBITS, ZSTD)  # a strip is one stream of bytes, whatever they mean
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
ASSOCIATED, UNASSOCIATED = 1, (2, 999)  # kinds of alpha; 999 is CorelDRAW's

# Samples by photometric interpretation: how many make a colour, and which (format, bits) are read.
_SHALLOW = {(UNSIGNED, bits) for bits in range(1, 17)}
_COUNTS = {(SIGNED, 8), (SIGNED, 16), (SIGNED, 32), (UNSIGNED, 32), (FLOAT, 16), (FLOAT, 32), (FLOAT, 64)}
COLOURS = {
    WHITE_IS_ZERO: (1, _SHALLOW | _COUNTS),
    BLACK_IS_ZERO: (1, _SHALLOW | _COUNTS),
    RGB: (3, _SHALLOW | _COUNTS),
    PALETTE: (1, _SHALLOW),
    CMYK: (4, {(UNSIGNED, 8), (UNSIGNED, 16)}),
    YCBCR: (3, {(UNSIGNED, 8)}),
}
# Codecs of pictures, not of bytes: the samples that they can hold.
_CODEC_BITS = {JPEG: 8, WEBP: 8, **dict.fromkeys(CCITT, 1)}
_CODEC_NAMES = {JPEG: "JPEG", WEBP: "WebP", **dict.fromkeys(CCITT, "CCITT")}
_PHOTOMETRIC_NAMES = {
    4: "a transparency mask",
    8: "CIE L*a*b* colour",
    9: "ICC L*a*b* colour",
    10: "ITU L*a*b* colour",
    32844: "LogL colour",
    32845: "LogLuv colour",
}
_COMPRESSION_NAMES = {
    6: "old-style JPEG compression (6)",
    9: "JBIG compression",
    10: "JBIG compression",
    32771: "CCITT RLEW compression",
    32809: "ThunderScan compression",
    33003: "JPEG 2000 compression",
    33005: "JPEG 2000 compression",
    34661: "JBIG compression",
    34676: "SGI LogLuv compression",
    34677: "SGI LogLuv compression",
    34712: "JPEG 2000 compression",
    34887: "LERC compression",
    34925: "LZMA compression",
    34933: "PNG compression",
    34934: "JPEG XR compression",
    50002: "JPEG XL compression",
    52546: "JPEG XL compression",
}
_FORMAT_NAMES = {UNSIGNED: "unsigned", SIGNED: "signed", FLOAT: "floating-point", 5: "complex", 6: "complex"}


def read_photometric(tags: Directory, samples: int) -> int:
    """Return how colours are stored, one of `COLOURS`. Raises ImageError for what is not read."""
    photometric = tags.number(262, -1)
    if photometric == -1:  # required, but libtiff too takes three bands for RGB
        if samples < 3:
            raise refusal("one band that does not say whether black or white is zero (PhotometricInterpretation)")
        photometric = RGB
    if photometric not in COLOURS:
        raise refusal(_PHOTOMETRIC_NAMES.get(photometric, f"the photometric interpretation {photometric}"))
    if photometric == CMYK and (tags.number(332, 1) != 1 or tags.number(334, 4) != 4):
        raise refusal("inks other than CMYK")
    return photometric


def read_same(tags: Directory, tag: int, default: int, samples: int, name: str) -> int:
    """Return the one number that a tag states for every sample."""
    values = tags.values(tag)
    if values is None:
        return default
    different = sorted({int(value) for value in values[:samples]})
    if len(different) > 1:
        raise refusal(f"different {name} ({', '.join(map(str, different))})")
    return different[0]


def check_samples(photometric: int, sample_format: int, bits: int, samples: int) -> None:
    """Raise ImageError unless samples of this type are read for these colours."""
    num_colours, accepted = COLOURS[photometric]
    if (sample_format, bits) not in accepted:
        name = _FORMAT_NAMES.get(sample_format, f"unknown ({sample_format})")
        kind = {PALETTE: "palette ", CMYK: "CMYK ", YCBCR: "YCbCr "}.get(photometric, "")
        raise refusal(f"{bits}-bit {name} {kind}samples")
    if samples < num_colours:
        raise corrupt(f"{samples} bands where its colours need {num_colours}")


def check_codec(photometric: int, compression: int, bits: int, samples: int) -> None:
    """Raise ImageError unless the compression is read, and for such samples."""
    if compression not in (RAW, *STREAMS, *_CODEC_BITS):
        raise refusal(_COMPRESSION_NAMES.get(compression, f"the compression {compression}"))
    if bits != _CODEC_BITS.get(compression, bits):
        raise refusal(f"{bits}-bit samples in {_CODEC_NAMES[compression]} compression")
    if compression in CCITT and (samples != 1 or photometric > BLACK_IS_ZERO):
        raise refusal("CCITT compression that is not of black and white")
    if compression == WEBP and (photometric != RGB or samples > 4):
        raise refusal("WebP compression that is not of RGB")
    if compression == JPEG and (samples not in (1, 3, 4) or photometric == PALETTE):
        raise refusal(f"JPEG compression of {samples} bands or of palette indices")
