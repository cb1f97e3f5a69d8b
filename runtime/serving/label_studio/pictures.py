"""Fetch the pictures of Label Studio's tasks: from its own host, and from nowhere else."""

from urllib.parse import urljoin, urlsplit

import httpx

_TIMEOUT_S = 20.0


class PictureRefusedError(ValueError):
    """A picture that is not fetched, or cannot be; the message says why."""


class LabelStudioPictures:
    """Fetches pictures by their address in a task, with the token of an account of that Label Studio."""

    def __init__(self, url: str, token: str, max_bytes: int) -> None:
        """Take the address of Label Studio. max_bytes: of one picture."""
        self._url = url.rstrip("/") + "/"
        self._max_bytes = max_bytes
        # Neither a proxy of the environment nor a redirect leads to another host.
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Token {token}"}, timeout=_TIMEOUT_S, trust_env=False, follow_redirects=False
        )

    async def fetch(self, address: object) -> bytes:
        """Return the file of a picture. Raises PictureRefusedError.

        address: below Label Studio's, such as `/data/upload/1/a.png`, or whole with its host.
        """
        if not isinstance(address, str) or not address:
            raise PictureRefusedError("the task's data has no picture's address where the template says")
        url = urljoin(self._url, address)
        if _origin(url) != _origin(self._url):
            raise PictureRefusedError(
                f"{address[:100]!r} is not of the Label Studio that VISION_LABEL_STUDIO_URL names"
            )
        try:
            async with self._client.stream("GET", url) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise PictureRefusedError(f"Label Studio answered {answer.status_code} for {address[:100]!r}")
                return await self._read(answer)
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            reason = str(exc) or type(exc).__name__
            raise PictureRefusedError(f"{address[:100]!r} could not be fetched: {reason}") from exc

    async def _read(self, answer: httpx.Response) -> bytes:
        parts, size = [], 0
        async for part in answer.aiter_bytes():
            size += len(part)
            if size > self._max_bytes:
                raise PictureRefusedError(f"the picture has more than the {self._max_bytes} bytes that are accepted")
            parts.append(part)
        return b"".join(parts)


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    try:
        return parts.scheme, (parts.hostname or "").lower(), parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:  # a port that is none
        return "", "", None
