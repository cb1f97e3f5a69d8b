"""Fetching from a real server: what comes, what is too much, and what nobody can be led to."""

import asyncio
import datetime
import ssl
from collections.abc import Callable, Coroutine
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from runtime.answers.refusals import FetchErrorCode, RequestRefused
from runtime.serving.fetching.addresses import Address
from runtime.serving.fetching.allowed_hosts import parse_hosts
from runtime.serving.fetching.fetcher import Fetcher, Resolve
from runtime.serving.intake.image_list import ImageAddress
from tests.runtime.serving.fetching.answering_host import AnsweringHost, answer, answering, redirect

PICTURE = b"\x89PNG of a kind"
NAME = "pictures.test"  # no name server knows it
MAX_BYTES = 1000
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def resolver(*answers: str) -> tuple[Resolve, list[str]]:
    """Return a resolver that gives these answers, one after the other and the last for ever, and what it was asked."""
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> list[Address]:
        asked.append(host)
        return [ip_address(one) for one in answers[min(len(asked), len(answers)) - 1].split()]

    return resolve, asked


def fetch(
    answers: dict[str, bytes], path: str = "/a.png", *, resolve: Resolve | None = None, timeout_s: float = 20.0,
    tls: ssl.SSLContext | None = None,
) -> tuple[bytes | RequestRefused, AnsweringHost]:  # fmt: skip
    """Fetch a path of a host that answers so; return the file or why there is none. PORT in answers is the host's."""

    async def scenario() -> tuple[bytes | RequestRefused, AnsweringHost]:
        async with answering({}, tls) as host:
            port = str(host.port)
            host.answers = {path: text.replace(b"PORT", port.encode()) for path, text in answers.items()}
            hosts = parse_hosts(f"{NAME}:{port}@127.0.0.0/8")
            fetcher = Fetcher(hosts, MAX_BYTES, timeout_s, 2, resolve or resolver("127.0.0.1")[0])
            try:
                return await fetcher.fetch(f"{'https' if tls else 'http'}://{NAME}:{port}{path}"), host
            except RequestRefused as refusal:
                return refusal, host

    return asyncio.run(scenario())


def code_of(outcome: tuple[bytes | RequestRefused, AnsweringHost]) -> FetchErrorCode:
    assert isinstance(outcome[0], RequestRefused)
    code = outcome[0].code
    assert isinstance(code, FetchErrorCode)
    assert outcome[0].status.value >= 400
    return code


def test_file_comes_as_it_is_and_the_host_is_asked_by_its_name() -> None:
    data, host = fetch({"/a.png": answer(PICTURE, "content-type: text/html")})
    assert data == PICTURE
    [head] = host.asked
    assert head[0] == "get /a.png http/1.1"
    assert f"host: {NAME}:{host.port}" in head
    assert "accept-encoding: identity" in head
    assert not [line for line in head if line.startswith(("cookie", "authorization", "referer"))]


def test_length_that_is_not_stated_and_chunks_are_read_to_their_end() -> None:
    assert fetch({"/a.png": CHUNKED + b"5\r\nabcde\r\n0\r\n\r\n"})[0] == b"abcde"
    assert fetch({"/a.png": b"HTTP/1.1 200 OK\r\n\r\nabc"})[0] == b"abc"


def test_redirects_are_followed_three_times() -> None:
    answers = {f"/{n}": redirect(f"/{n + 1}") for n in range(4)} | {"/4": answer(PICTURE)}
    assert fetch(answers, "/1")[0] == PICTURE
    assert code_of(fetch(answers, "/0")) == FetchErrorCode.TOO_MANY_REDIRECTS


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://evil.test/", FetchErrorCode.HOST_NOT_ALLOWED),
        ("http://169.254.169.254/latest/meta-data/", FetchErrorCode.HOST_NOT_ALLOWED),
        ("//127.0.0.1:PORT/a.png", FetchErrorCode.HOST_NOT_ALLOWED),
        (f"http://{NAME}:1/a.png", FetchErrorCode.HOST_NOT_ALLOWED),
        (f"http://user:secret@{NAME}:PORT/b.png", FetchErrorCode.BAD_REDIRECT),
        ("file:///etc/passwd", FetchErrorCode.BAD_REDIRECT),
        ("gopher://pictures.test/", FetchErrorCode.BAD_REDIRECT),
        ("http://[::1", FetchErrorCode.BAD_REDIRECT),
        ("", FetchErrorCode.BAD_REDIRECT),
    ],
)
def test_redirect_leads_nowhere_that_is_not_allowed(location: str, code: FetchErrorCode) -> None:
    outcome = fetch({"/a.png": redirect(location), "/b.png": answer(PICTURE)})
    assert code_of(outcome) == code
    assert len(outcome[1].asked) == 1


def test_host_is_resolved_once_and_another_answer_changes_nothing() -> None:
    resolve, asked = resolver("127.0.0.1", "169.254.169.254")
    assert fetch({"/a.png": answer(PICTURE)}, resolve=resolve)[0] == PICTURE
    assert asked == [NAME]


def test_host_of_a_redirect_is_resolved_and_checked_again() -> None:
    resolve, asked = resolver("127.0.0.1", "169.254.169.254")
    outcome = fetch({"/a.png": redirect("/b.png"), "/b.png": answer(PICTURE)}, resolve=resolve)
    assert code_of(outcome) == FetchErrorCode.ADDRESS_FORBIDDEN
    assert (len(asked), len(outcome[1].asked)) == (2, 1)
    assert "169.254" not in str(outcome[0])


@pytest.mark.parametrize(
    "addresses", ["127.0.0.1 10.0.0.1", "10.0.0.1 127.0.0.1", "127.0.0.1 ::1", "::ffff:10.0.0.1", ""]
)
def test_one_address_that_is_forbidden_is_enough(addresses: str) -> None:
    outcome = fetch({"/a.png": answer(PICTURE)}, resolve=resolver(addresses)[0])
    assert code_of(outcome) == FetchErrorCode.ADDRESS_FORBIDDEN
    assert not outcome[1].asked


def test_host_without_a_network_must_be_public() -> None:
    async def scenario() -> FetchErrorCode:
        async with answering({"/a.png": answer(PICTURE)}) as host:
            fetcher = Fetcher(parse_hosts(f"{NAME}:{host.port}"), MAX_BYTES, 20, 2, resolver("127.0.0.1")[0])
            with pytest.raises(RequestRefused) as raised:
                await fetcher.fetch(f"http://{NAME}:{host.port}/a.png")
            assert not host.asked
            assert isinstance(raised.value.code, FetchErrorCode)
            return raised.value.code

    assert asyncio.run(scenario()) == FetchErrorCode.ADDRESS_FORBIDDEN


async def _no_address(_host: str, _port: int) -> list[Address]:
    raise OSError("no such name")


def test_name_without_an_address_says_so() -> None:
    assert code_of(fetch({}, resolve=_no_address)) == FetchErrorCode.UNRESOLVED


def test_host_that_takes_no_connection_says_so() -> None:
    assert code_of(fetch({}, resolve=resolver("127.77.77.77")[0])) == FetchErrorCode.UNREACHABLE


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (answer(b"x" * (MAX_BYTES + 1)), FetchErrorCode.TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\nx", FetchErrorCode.TOO_LARGE),
        (CHUNKED + b"200\r\n" + b"x" * 512 + b"\r\n" + b"200\r\n" + b"x" * 512 + b"\r\n", FetchErrorCode.TOO_LARGE),
        (answer(b"\x1f\x8b bomb", "content-encoding: gzip"), FetchErrorCode.ENCODED),
        (answer(b"bomb", "content-encoding: br"), FetchErrorCode.ENCODED),
        (answer(PICTURE, status="404 Not Found"), FetchErrorCode.STATUS),
        (answer(PICTURE, status="206 Partial Content"), FetchErrorCode.STATUS),
        (answer(PICTURE, status="500 Oh"), FetchErrorCode.STATUS),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", FetchErrorCode.BROKEN),
        (b"no HTTP at all\r\n\r\n", FetchErrorCode.BROKEN),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 20000 + b"\r\n\r\n", FetchErrorCode.BROKEN),
        (b"", FetchErrorCode.BROKEN),
    ],
)
def test_each_answer_that_cannot_be_taken_has_its_code(text: bytes, code: FetchErrorCode) -> None:
    assert code_of(fetch({"/a.png": text})) == code


def test_limit_itself_is_taken() -> None:
    assert fetch({"/a.png": answer(b"x" * MAX_BYTES)})[0] == b"x" * MAX_BYTES


def test_host_that_takes_too_long_is_given_up() -> None:
    assert code_of(fetch({}, "/hang", timeout_s=0.2)) == FetchErrorCode.TIMEOUT


@pytest.mark.parametrize(
    "address",
    ["", "a.png", "/etc/passwd", "ftp://pictures.test/", "file:///a", "data:image/png;base64,AA", "http://", "http:///a",
     "http://u@pictures.test/", "http://u:p@pictures.test/", "http://:p@pictures.test/", "http://a b/", "http://a\nb/",
     "http://a:99999/", "http://[::1/", "http://pictures.test\\@evil.test/", "http://a/" + "x" * 2048],
)  # fmt: skip
def test_address_that_is_none_is_refused_before_anything_is_asked(address: str) -> None:
    resolve, asked = resolver("127.0.0.1")
    fetcher = Fetcher(parse_hosts(f"{NAME}@127.0.0.0/8"), MAX_BYTES, 20, 2, resolve)
    with pytest.raises(RequestRefused) as raised:
        asyncio.run(fetcher.fetch(address))
    assert raised.value.code == FetchErrorCode.BAD_ADDRESS
    assert not asked


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert fetch({"/a.png": answer(PICTURE)})[0] == PICTURE


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return the context of a server whose certificate for NAME nobody vouches for."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(
        now + datetime.timedelta(days=1)
    )
    certificate = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), False).sign(
        key, hashes.SHA256()
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")
    return context


def test_certificates_are_verified_and_the_name_is_that_of_the_address(tmp_path: Path) -> None:
    outcome = fetch({"/a.png": answer(PICTURE)}, tls=self_signed(tmp_path))
    assert code_of(outcome) == FetchErrorCode.TLS
    assert outcome[1].server_names == [NAME]
    assert not outcome[1].asked


def in_turn(max_at_once: int, until: Callable[[AnsweringHost], bool]) -> Coroutine[Any, Any, AnsweringHost]:
    """Ask for four images at once of a host that answers none before `until`."""

    async def scenario() -> AnsweringHost:
        async with answering({"/hang": answer(PICTURE)}) as host:
            hosts = parse_hosts(f"{NAME}:{host.port}@127.0.0.0/8")
            fetcher = Fetcher(hosts, MAX_BYTES, 20, max_at_once, resolver("127.0.0.1")[0])

            async def one() -> None:
                async with fetcher.encoded(ImageAddress(f"http://{NAME}:{host.port}/hang")) as data:
                    assert data == PICTURE

            tasks = [asyncio.create_task(one()) for _ in range(4)]
            async with asyncio.timeout(20):
                while not until(host):
                    await asyncio.sleep(0.001)
                host.hang.set()
                await asyncio.gather(*tasks)
            return host

    return scenario()


def test_so_many_are_fetched_at_once_and_no_more() -> None:
    assert asyncio.run(in_turn(2, lambda host: host.num_open == 2)).most_at_once == 2
    assert asyncio.run(in_turn(4, lambda host: host.num_open == 4)).most_at_once == 4


def test_what_is_no_address_is_handed_through_and_addresses_need_a_host() -> None:
    async def scenario() -> None:
        fetcher = Fetcher((), MAX_BYTES, 20, 1)
        for image in (b"file", "base64"):
            async with fetcher.encoded(image) as same:
                assert same == image
        with pytest.raises(RequestRefused) as raised:
            async with fetcher.encoded(ImageAddress("http://pictures.test/")):
                pass
        assert raised.value.code == FetchErrorCode.OFF
        assert "VISION_FETCH_HOSTS" in str(raised.value)

    asyncio.run(scenario())
