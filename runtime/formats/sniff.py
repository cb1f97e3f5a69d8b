"""Which format bytes are in, told by their first bytes and never by a name or a media type."""

HEAD_BYTES = 132  # as many as `sniff` looks at

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff\xf7", "JPEG-LS"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"IIRO", "camera raw"),
    (b"IIU\0", "camera raw"),
    (b"MMOR", "camera raw"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"FOVb", "camera raw"),
    (b"II\x1a\0\0\0HEAPCCDR", "camera raw"),
    (b"\0MRM", "camera raw"),
    (b"\xff\x10\xff\x50", "JPEG XS"),
    (b"gimp xcf", "GIMP's XCF"),
    (b"icns", "ICNS"),
    (b"\0\0\x02\0\x01\0", "Windows cursor"),
    (b"\x01\xda\x00\x01", "SGI"),
    (b"\x01\xda\x01\x01", "SGI"),
    (b"\x0a\x05\x01\x01", "PCX"),
    (b"\x0a\x05\x01\x08", "PCX"),
    (b"SDPX", "DPX"),
    (b"XPDS", "DPX"),
    (b"\xabKTX ", "KTX"),
    (b"BPG\xfb", "BPG"),
    (b"FLIF", "FLIF"),
    (b"AT&TFORM", "DjVu"),
    (b"\x8aMNG\r\n\x1a\n", "MNG"),
    (b"\x8bJNG\r\n\x1a\n", "JNG"),
    (b"ZISRAWFILE", "Zeiss CZI"),
    (b"\xda\xce\xbe\x0a", "Nikon ND2"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"MATLAB 5.0 MAT", "MATLAB"),
    (b"\xd7\xcd\xc6\x9a", "Windows metafile"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"8BPS", "Photoshop"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"\0\0\x01\0", "ICO"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"SIMPLE  =", "FITS"),
    (b"\x93NUMPY", "NumPy array"),
    (b"%PDF-", "PDF"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"Rar!\x1a\x07", "RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "7z archive"),
    (b"BZh91AY&SY", "bzip2 archive"),
    (b"\xfd7zXZ\0", "xz archive"),
    (b"\x28\xb5\x2f\xfd", "Zstandard archive"),
    (b"\x1aE\xdf\xa3", "Matroska video"),
    (b"FLV\x01", "Flash video"),
    (b"\0\0\x01\xba", "MPEG video"),
    (b"\0\0\x01\xb3", "MPEG video"),
    (b"<svg", "SVG"),
)
# The brands of ISO base media files (ISO/IEC 14496-12), by their first characters; the first of this list wins, since
# the last two only say that there is a still picture.
_BRANDS: tuple[tuple[bytes, str], ...] = (
    (b"avi", "AVIF"),
    (b"hei", "HEIC"),
    (b"hev", "HEIC"),
    (b"mif1", "HEIC"),
    (b"msf1", "HEIC"),
    (b"crx ", "camera raw"),
)
# How a QuickTime file begins that states no brand.
_QUICKTIME = (b"moov", b"mdat", b"wide", b"pnot")
_BMP_HEADER_AT = 14
_MAX_BMP_HEADER = 1024  # of any kind that there is: 124 bytes; what states more is text that begins with "BM"


def sniff(head: bytes) -> str:
    """Return the common name of the format that a file's first `HEAD_BYTES` bytes belong to, '' if none is known.

    A TIFF may still turn out to be a camera's raw file: that is in its directories, not in its head.
    """
    name = next((name for start, name in _STARTS if head.startswith(start)), "")
    if name:
        return "" if name == "BMP" and _states_no_bmp_header(head) else name
    if head[:4] == b"RIFF":
        return {b"WEBP": "WebP", b"AVI ": "AVI video"}.get(head[8:12], "")
    if head[4:8] == b"ftyp":
        brands = (head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), HEAD_BYTES) - 3, 4)))
        found = (name for start, name in _BRANDS for brand in brands if brand.startswith(start))
        return next(found, "MP4 video")
    if head[4:8] in _QUICKTIME:
        return "QuickTime video"
    if head[128:132] == b"DICM":
        return "DICOM"
    if len(head) > 2 and head[:1] == b"P" and head[1:2] in b"1234567" and head[2:3].isspace():
        return "Netpbm"
    if head[:3] in (b"Pf\n", b"PF\n"):
        return "Netpbm"
    return ""


def _states_no_bmp_header(head: bytes) -> bool:
    size = head[_BMP_HEADER_AT : _BMP_HEADER_AT + 4]
    return len(size) == 4 and int.from_bytes(size, "little") > _MAX_BMP_HEADER
