"""What can be wrong with an image that somebody sends, as values that the HTTP edge maps to answers."""

from enum import StrEnum


class ImageErrorCode(StrEnum):
    """Stable codes; clients may switch on them."""

    EMPTY = "empty_file"
    UNSUPPORTED = "unsupported_format"
    CORRUPT = "corrupt_image"
    TOO_MANY_PIXELS = "too_many_pixels"


class ImageError(ValueError):
    """One image that cannot be read; concerns that image alone."""

    def __init__(self, code: ImageErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class ViewErrorCode(StrEnum):
    """What can be wrong with the parts of a picture that are to be looked at; stable, too."""

    ROI_OUTSIDE = "roi_outside_image"
    TOO_MANY_TILES = "too_many_tiles"


class ViewError(ValueError):
    """A part of one picture that cannot be looked at, as a region of interest that leaves it; the message says why."""

    def __init__(self, code: ViewErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
