"""What an operator may state as an origin, the `scheme://host:port` of a web page."""

from urllib.parse import urlsplit

ANY = "*"
_DEFAULT_PORTS = {"http": 80, "https": 443}


def parse_origins(text: str) -> tuple[str, ...]:
    """Return the origins of a list with commas or blanks between them, as browsers write them.

    `*` alone means any. Raises ValueError naming what is no origin.
    """
    words = text.replace(",", " ").split()
    if ANY in words and len(words) > 1:
        raise ValueError(f"'{ANY}' means every origin and stands alone")
    return tuple(word if word in (ANY, "null") else _normal(word) for word in words)


def _normal(word: str) -> str:
    parts = urlsplit(word.lower())
    try:
        port = parts.port
    except ValueError:
        port = -1
    is_bare = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or not is_bare or port == -1:
        raise ValueError(f"'{word}' is no origin; an origin is like https://app.example.com, without a path or slash")
    if ANY in word:
        raise ValueError(f"'{word}' has a wildcard; name each origin, or state '{ANY}' for all")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}")
