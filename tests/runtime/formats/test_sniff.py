"""Formats told by content."""

import pytest

from runtime.formats.sniff import sniff

ISO = b"\0\0\0\x18ftyp"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG"),
        (b"\xff\xd8\xff\xf7\0\x0b\x08", "JPEG-LS"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"II+\0\x08\0", "BigTIFF"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
        (b"RIFF\0\0\0\0AVI LIST", "AVI video"),
        (ISO + b"heic\0\0\0\0mif1heic", "HEIC"),
        (ISO + b"mif1\0\0\0\0avifmif1", "AVIF"),
        (ISO + b"avif\0\0\0\0mif1avif", "AVIF"),
        (ISO + b"isom\0\0\0\0iso2mp41", "MP4 video"),
        (b"P5\n12 8\n65535\n", "Netpbm"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"PNG", ""),
        (b"", ""),
    ],
)
def test_a_format_is_told_by_its_first_bytes(head: bytes, name: str) -> None:
    assert sniff(head) == name
