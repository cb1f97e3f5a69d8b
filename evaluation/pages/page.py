"""Pages of HTML that need nothing beside them: styles inline, pictures as data URIs."""

import base64
import io
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from evaluation.evaluation import EvaluationError
from evaluation.pages import wording
from runtime.model.errors import ImageError
from runtime.model.image import decode_image

TEMPLATES_DIR = Path(__file__).with_name("templates")
_THUMBNAIL_PX = 240  # the longer side: sharp on a phone, and 24 of them stay under half a megabyte


def render_page(template: str, **values: object) -> str:
    """Fill in a template of `evaluation/pages/templates`; text from data is escaped, a missing value is an error."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES_DIR),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(wording=wording, **values)


def thumbnail(path: Path, max_value: int | None = None) -> str:
    """Return a small JPEG of a picture as data URI. Raises EvaluationError if the picture cannot be read.

    max_value: white in deep pictures, of the data set's description.
    """
    try:
        image = Image.fromarray(decode_image(path.read_bytes(), max_value=max_value))
    except (OSError, ImageError) as exc:
        raise EvaluationError(f"cannot show the picture {path}: {exc}") from exc
    image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return data_uri(buffer.getvalue(), "jpeg")


def data_uri(data: bytes, kind: str) -> str:
    """Return bytes of an image of `kind` (png, jpeg) as an address that holds them."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
