"""The two ways in which a TIFF cannot be read: what it is, by name, or that its bytes are damaged."""

from runtime.model.errors import ImageError, ImageErrorCode


def refusal(what: str) -> ImageError:
    """Return the error for a TIFF that is valid and not accepted because of `what`."""
    return ImageError(
        ImageErrorCode.UNSUPPORTED,
        f"a TIFF of {what} is not accepted; save the picture as grey or RGB TIFF of 8 or 16 bits, PNG or JPEG",
    )


def corrupt(what: str) -> ImageError:
    """Return the error for a TIFF whose bytes are damaged, as `what` says."""
    return ImageError(ImageErrorCode.CORRUPT, f"the TIFF is truncated or corrupt: {what}")
