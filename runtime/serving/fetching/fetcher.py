"""Fetching an image from its address, without being led anywhere that the operator did not name.

A host is resolved once for each step of the way, all of its addresses are checked, and the connection is made to one of
these and no other: a name server that answers otherwise the next time changes nothing. The name stays in `Host` and in
TLS, whose certificates are verified. Proxies of the environment are not used, cookies are not kept.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from runtime.answers.refusals import FetchErrorCode, RequestRefused
from runtime.serving.fetching.addresses import Address, is_allowed
from runtime.serving.fetching.allowed_hosts import AllowedHost, find_host
from runtime.serving.intake.image_list import ImageAddress, SentImage
from runtime.serving.settings import ServingSettings

logger = logging.getLogger("vision.fetching")

MAX_REDIRECTS = 3
MAX_ADDRESS = 2048  # characters
_SCHEMES = ("http", "https")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK = 2**16
_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "bento-vision"}

Resolve = Callable[[str, int], Coroutine[None, None, list[Address]]]
"""Returns the addresses of a host and port. Raises OSError if there are none."""


async def resolve_host(host: str, port: int) -> list[Address]:
    """Ask the system's resolver. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in found]


@dataclass(frozen=True)
class Fetcher:
    """Fetches images from the hosts that are allowed.

    max_bytes: of one image. timeout_s: for one image with its redirects. max_at_once: images that are fetched, or held
    by those who asked for them, at the same time.
    """

    hosts: tuple[AllowedHost, ...]
    max_bytes: int
    timeout_s: float
    max_at_once: int
    resolve: Resolve = resolve_host
    _room: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_room", asyncio.Semaphore(self.max_at_once))

    @classmethod
    def of(cls, settings: ServingSettings) -> Self:
        return cls(settings.fetch_hosts, settings.max_body_bytes, settings.fetch_timeout_s, settings.max_fetches)

    @asynccontextmanager
    async def encoded(self, image: SentImage) -> AsyncIterator[bytes | str]:
        """Yield an image of a list as files are sent, fetched if it is an address. Raises RequestRefused."""
        if not isinstance(image, ImageAddress):
            yield image
            return
        if not self.hosts:
            message = "addresses are not fetched here; send the file, or have VISION_FETCH_HOSTS name the host"
            raise RequestRefused(FetchErrorCode.OFF, message)
        async with self._room:
            yield await self.fetch(image.url)

    async def fetch(self, address: str) -> bytes:
        """Return the file at an address. Raises RequestRefused, whose code says what was in the way."""
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._follow(address)
        except TimeoutError as exc:
            raise RequestRefused(FetchErrorCode.TIMEOUT, f"fetching took longer than {self.timeout_s:g} s") from exc
        except aiohttp.ClientSSLError as exc:
            logger.info("TLS with %r failed: %s", exc.host, exc)
            raise RequestRefused(FetchErrorCode.TLS, "the host's certificate or its TLS cannot be trusted") from exc
        except aiohttp.ClientConnectorError as exc:
            raise RequestRefused(FetchErrorCode.UNREACHABLE, "the host takes no connection") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise RequestRefused(FetchErrorCode.BROKEN, f"the transfer broke off ({type(exc).__name__})") from exc

    async def _follow(self, address: str) -> bytes:
        url = _parse(address)
        for _ in range(MAX_REDIRECTS + 1):
            addresses = await self._addresses(url)
            found = await self._get(url, addresses)
            if isinstance(found, bytes):
                return found
            url = found
        raise RequestRefused(FetchErrorCode.TOO_MANY_REDIRECTS, f"more than {MAX_REDIRECTS} redirects")

    async def _addresses(self, url: URL) -> list[Address]:
        """Return the addresses of a URL's host, each of them allowed. Raises RequestRefused."""
        host, name, port = find_host(self.hosts, url), url.raw_host, url.port
        if host is None or name is None or port is None:
            message = f"the host {url.host_subcomponent!r} with port {port} is not one of VISION_FETCH_HOSTS"
            raise RequestRefused(FetchErrorCode.HOST_NOT_ALLOWED, message)
        try:
            addresses = [ip_address(name)]
        except ValueError:
            try:
                addresses = await self.resolve(name, port)
            except (OSError, UnicodeError) as exc:
                raise RequestRefused(FetchErrorCode.UNRESOLVED, f"the host {name!r} has no address") from exc
        if not addresses or not all(is_allowed(address, host.network) for address in addresses):
            # Which they are is the operator's to know, not the client's.
            logger.warning("nothing is fetched from %s: it has the addresses %s", name, ", ".join(map(str, addresses)))
            message = f"the host {name!r} has an address from which nothing may be fetched; see VISION_FETCH_HOSTS"
            raise RequestRefused(FetchErrorCode.ADDRESS_FORBIDDEN, message)
        return addresses

    async def _get(self, url: URL, addresses: list[Address]) -> bytes | URL:
        """Return what lies at a URL, or where it leads."""
        connector = aiohttp.TCPConnector(resolver=_Resolved(addresses), use_dns_cache=False, force_close=True, limit=1)
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            ) as session,
            session.get(url, headers=_HEADERS, allow_redirects=False) as response,
        ):
            if response.status in _REDIRECTS:
                return _redirected(url, response.headers.get("Location", ""))
            if response.status != HTTPStatus.OK:
                raise RequestRefused(FetchErrorCode.STATUS, f"the host answered with status {response.status}")
            return await self._read(response)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            message = f"the host compressed its answer ({encoding[:20]!r}), unasked; images are taken as they are"
            raise RequestRefused(FetchErrorCode.ENCODED, message)
        if (response.content_length or 0) > self.max_bytes:
            raise self._too_large()
        data = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            data += chunk
            if len(data) > self.max_bytes:
                raise self._too_large()
        return bytes(data)

    def _too_large(self) -> RequestRefused:
        return RequestRefused(FetchErrorCode.TOO_LARGE, f"the file has more than the {self.max_bytes} bytes accepted")


class _Resolved(AbstractResolver):
    """Answers with addresses that are known and checked, whatever is asked."""

    def __init__(self, addresses: list[Address]) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:  # fmt: skip  # noqa: E501
        del family  # both are tried
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


def _parse(address: str) -> URL:
    if len(address) > MAX_ADDRESS:
        raise _bad(f"it has more than {MAX_ADDRESS} characters")
    if not address.isprintable() or " " in address:
        raise _bad("it has blanks or characters that are not printed")
    try:
        url = URL(address)
    except ValueError as exc:
        raise _bad(str(exc)) from exc
    if url.scheme not in _SCHEMES or not url.raw_host:
        raise _bad("an address begins with http:// or https:// and a host")
    if url.user is not None or url.password is not None:
        raise _bad("it holds a user or a password, which are not sent")
    return url.with_fragment(None)


def _bad(problem: str) -> RequestRefused:
    return RequestRefused(FetchErrorCode.BAD_ADDRESS, f"the address cannot be used: {problem}")


def _redirected(url: URL, location: str) -> URL:
    try:
        new = _parse(str(url.join(URL(location or "about:blank"))))
    except (ValueError, RequestRefused) as exc:
        raise RequestRefused(FetchErrorCode.BAD_REDIRECT, "the host redirects to what is no address") from exc
    if url.scheme == "https" and new.scheme == "http":
        raise RequestRefused(FetchErrorCode.BAD_REDIRECT, "the host redirects from https to http")
    return new
