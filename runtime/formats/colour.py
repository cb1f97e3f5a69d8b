"""Colours as a picture states them to sRGB, which is what models are trained on and screens show.

A profile that is sRGB by what it does changes nothing, and one that is damaged, absurd or of another kind of colours
is passed over, as browsers do. Transforms are kept by the profile's content: building one takes longer than using it.
"""

import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms

# Profiles of printers have 0.5 to 3 MB; beyond that none is read.
MAX_PROFILE_BYTES = 4 * 2**20
_KEPT = 16
# In levels of 255: profiles that call themselves sRGB differ by up to 3 for their coarser curves.
_SAME = 3
# White is at least this much lighter than black, or the profile is absurd.
_MIN_RANGE = 64
_Transform = Callable[[Image.Image], Image.Image]

_lock = threading.Lock()
_transforms: OrderedDict[tuple[bytes, str], _Transform | None] = OrderedDict()


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert a picture from the colours of an ICC profile to sRGB; transparency stays as it is.

    Returns the picture itself where there is nothing to convert, else one of mode RGB or RGBA. Never raises: a profile
    that cannot be used is passed over.
    """
    mode = _input_mode(image, profile)
    if not mode or len(profile) > MAX_PROFILE_BYTES:
        return image
    transform = _transform(profile, mode)
    if transform is None:
        return image
    if not image.has_transparency_data:
        return transform(image if image.mode == mode else image.convert(mode))
    rgba = image.convert("RGBA")
    converted = transform(rgba.convert(mode))
    converted.putalpha(rgba.getchannel("A"))
    return converted


def _input_mode(image: Image.Image, profile: bytes) -> str:
    """Return the mode in which a picture's colours are what the profile describes, '' if they are not."""
    space = profile[16:20]
    if image.mode == "CMYK":
        return "CMYK" if space == b"CMYK" else ""
    if space == b"GRAY":
        return "L" if image.mode in ("1", "L", "LA") else ""
    return "RGB" if space == b"RGB " else ""


def _transform(profile: bytes, mode: str) -> _Transform | None:
    key = (hashlib.sha256(profile).digest(), mode)
    with _lock:
        if key in _transforms:
            _transforms.move_to_end(key)
            return _transforms[key]
    built = _build(profile, mode)
    with _lock:
        _transforms[key] = built
        while len(_transforms) > _KEPT:
            _transforms.popitem(last=False)
    return built


def _build(profile: bytes, mode: str) -> _Transform | None:
    """Return a transform to RGB, None if there is nothing to do or the profile is of no use."""
    try:
        stated = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        # Shortcuts that lcms takes are exact for colours, but off by up to 10 for dark grey.
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        transform = ImageCms.buildTransform(stated, srgb, mode, "RGB", flags=flags)
        probe = _probe(mode)
        seen = np.asarray(transform.apply(probe)).astype(int)
    except Exception:  # lcms and Pillow raise PyCMSError, OSError and more for damaged profiles
        return None
    lightest, darkest = (seen[0, 0], seen[-1, -1]) if mode == "CMYK" else (seen[-1, -1], seen[0, 0])
    if lightest.mean() - darkest.mean() < _MIN_RANGE:
        return None
    is_srgb = mode != "CMYK" and np.abs(seen - np.asarray(probe.convert("RGB"))).max() <= _SAME
    if is_srgb:
        return None
    if mode == "L":
        table = seen[0].T.ravel().tolist()
        return lambda image: image.convert("RGB").point(table)
    return transform.apply


def _probe(mode: str) -> Image.Image:
    """Return a picture of colours all over the range, from all bands at 0 to all at 255."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.linspace(0, 255, 17 if mode == "RGB" else 5).astype(np.uint8)
    axes = np.meshgrid(*[steps] * len(mode), indexing="ij")
    return Image.fromarray(np.stack(axes, axis=-1).reshape(-1, steps.size, len(mode)), mode)
