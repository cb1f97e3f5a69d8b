"""What is sent: drawn pictures, and one picture as the whole HTTP request that each kind of server takes."""

import io
import json
import struct
from enum import StrEnum

import numpy as np
from PIL import Image

from dataset.sources.synthetic.synthetic_exposures import draw_tile, expose

SMALL_SIZE_PX = (224, 224)  # the model's input: nothing is resized
SMALL_JPEG_QUALITY = 100  # with it the tile takes 29 KB, what a photograph of that size takes
LARGE_SIZE_PX = (4000, 3000)  # 12 megapixels, a telephone's photograph
LARGE_JPEG_QUALITY = 90
CAMERA_SIZE_PX = (1200, 900)  # one megapixel, an inspection camera's
_NOISE_GREY_LEVELS = 6.0  # a sensor's grain, without which an enlarged tile would be a small file
_TILE, _LABEL, _EXPOSURE = 7, "Crack", 3
_BOUNDARY = "benchmark-boundary-7f3a"
_TENSOR = "image"


class Form(StrEnum):
    """How a picture travels."""

    MULTIPART = "multipart"
    TRITON = "binary tensor"


PATHS = {Form.MULTIPART: "/predict", Form.TRITON: "/v2/models/vision/infer"}


def small_picture() -> bytes:
    """A drawn tile as a JPEG of 224 x 224 pixels and about 29 KB; always the same bytes with one Pillow."""
    return _jpeg(_tile(SMALL_SIZE_PX), SMALL_JPEG_QUALITY)


def camera_picture() -> bytes:
    """The tile as a JPEG of 1200 x 900 pixels."""
    return _jpeg(_tile(CAMERA_SIZE_PX), LARGE_JPEG_QUALITY)


def large_picture() -> bytes:
    """The tile as a photograph of 12 megapixels, with grain."""
    pixels = np.asarray(_tile(LARGE_SIZE_PX), dtype=np.float32)
    grain = np.random.default_rng(0).normal(0, _NOISE_GREY_LEVELS, pixels.shape[:2]).astype(np.float32)
    noisy = np.clip(pixels + grain[..., None], 0, 255).astype(np.uint8)
    return _jpeg(Image.fromarray(noisy), LARGE_JPEG_QUALITY)


def http_request(picture: bytes, form: Form, host: str, port: int, path: str = "") -> bytes:
    """Return request line, fields and body. path: empty for the form's own, of a classifier."""
    body, fields = _multipart(picture) if form is Form.MULTIPART else _tensor(picture)
    fields |= {"Host": f"{host}:{port}", "Content-Length": str(len(body)), "Accept": "application/json"}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path or PATHS[form]} HTTP/1.1\r\n{head}\r\n".encode() + body


def _tile(size_px: tuple[int, int]) -> Image.Image:
    surface, mask = draw_tile(_TILE, _LABEL, seed=0)
    pixels, _ = expose(surface, mask, np.random.default_rng(0), _EXPOSURE)
    return Image.fromarray(pixels).resize(size_px, Image.Resampling.BICUBIC).convert("RGB")


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _multipart(picture: bytes) -> tuple[bytes, dict[str, str]]:
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="tile.jpg"\r\n'
    body = head.encode() + b"Content-Type: image/jpeg\r\n\r\n" + picture + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}


def _tensor(picture: bytes) -> tuple[bytes, dict[str, str]]:
    """Build an inference request with binary tensor data: an element is its length (uint32, little endian) and itself.

    Source: Triton Inference Server, "Binary Tensor Data Extension" of the KServe protocol v2.
    """
    element = struct.pack("<I", len(picture)) + picture
    tensor = {"name": _TENSOR, "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(element)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    fields = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return head + element, fields
