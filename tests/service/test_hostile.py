"""Thousands of damaged requests over real sockets: no 500, no hang, and nothing left behind in the server.

Mutations are seeded and bounded. What is sent is written so that a failure names the request.
"""

import asyncio
import base64
import io
import json
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from runtime.answers.refusals import STATUS
from runtime.model.cores import usable_cores
from runtime.serving.error_bodies import EDGE_CODES
from runtime.serving.settings import ServingSettings
from tests.bento_project import Served
from tests.service.requests import png, post

# Memory still grows for some 7000 requests while arenas and caches fill.
NUM_WARM_UP, NUM_REQUESTS, NUM_CLIENTS = 8000, 7000, 16
ANSWER_TIMEOUT_S = 20
# Pools start a thread when they first need it, which on an idle machine may be late: those that decode, one for each
# session, and BentoML's own for pages like /metrics. Threads that refused requests left behind would be many more.
NUM_POOL_THREADS = ServingSettings().decode_threads + usable_cores() + 1
DOCUMENTED = {200, 307, 400, 404, 405, 408, 413, 415, 503, 504}  # 307: /predict/ leads to /predict
RAW = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/tiff",
    "application/json",
    "",
    "text/plain",
    "image/" + "x" * 300,
)
# Boundaries stay those of the body, so that what follows is parsed.
FORM_PARAMETERS = (
    *(f"; charset={name}" for name in ("utf-8", "undefined", "punycode", "idna", "utf-16", "hex", "é", '"', "x" * 300)),
    "; charset*=undefined''utf-8",
    "; boundary*=undefined''%ff",
    "; boundary=",
    "; =;;x",
)
TREASURES = (
    b"\x00",
    b"\xff",
    b"\r\n",
    b"--b",
    b'"',
    b"{",
    b"[",
    b"\xff\xda",
    b"IHDR",
    b"\x7f\xff\xff\xff",
    b"\xed\xa0",
)


@dataclass(frozen=True)
class Sent:
    """One request: what goes out, and whether the client stays for the answer."""

    description: str
    data: bytes
    stays: bool = True


def pictures() -> list[bytes]:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    options: list[tuple[str, dict[str, object]]] = [
        ("JPEG", {"exif": exif}),
        ("JPEG", {"progressive": True}),
        ("PNG", {"exif": exif}),
        ("WEBP", {}),
        ("BMP", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
        ("MPO", {"save_all": True, "append_images": [Image.fromarray(noise[::2])]}),
    ]
    encoded = []
    for kind, keywords in options:
        for image in (Image.fromarray(noise), Image.fromarray(noise[..., 0])):
            file = io.BytesIO()
            image.save(file, kind, **keywords)
            encoded.append(file.getvalue())
    return encoded


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, repeat, insert: up to four times."""
    changed = bytearray(data)
    for _ in range(rng.randrange(5)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(5):
            case 0 if at < len(changed):
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                del changed[at:]
            case 2:
                del changed[at : at + rng.randrange(1, 64)]
            case 3:
                changed[at:at] = rng.choice(TREASURES)
            case _:
                changed[at:at] = changed[at : at + rng.randrange(1, 2000)]
    return bytes(changed)


def body_of(images: list[bytes], rng: random.Random) -> tuple[str, bytes]:
    """One of the forms, with a media type that mostly fits."""
    match rng.randrange(3):
        case 0:
            name = rng.choice(["images"] * 8 + ["image", "", "images\x00"])
            disposition = f'Content-Disposition: form-data; name="{name}"; filename="a"\r\n\r\n'.encode()
            parts = [b"--b\r\n" + disposition + image + b"\r\n" for image in images]
            parameter = rng.choice(["", "", "", rng.choice(FORM_PARAMETERS)])
            return f"multipart/form-data; boundary=b{parameter}", b"".join(parts) + b"--b--\r\n"
        case 1:
            texts = [base64.b64encode(image).decode() for image in images]
            document = {"images_b64": texts} if len(texts) > 1 else {"image_b64": texts[0]}
            return "application/json", json.dumps(document).encode()
        case _:
            return rng.choice(RAW), images[0]


def hostile_request(number: int, kinds: list[bytes]) -> Sent:
    rng = random.Random(number)
    images = [mutate(rng.choice(kinds), rng) for _ in range(rng.choice((1, 1, 2, 3, 6)))]
    media_type, body = body_of(images, rng)
    if rng.random() < 0.4:
        body = mutate(body, rng)
    method = rng.choice(["POST"] * 12 + ["GET", "PUT", "HEAD", "BREW"])
    path = rng.choice(["/predict"] * 12 + ["/", "/predict/", "/%ff", "/predict?x=%00", "/metrics/../predict"])
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Type: {media_type}", "Connection: close"]
    if rng.random() < 0.2:
        lines.append(f"X-Request-ID: {rng.choice(['a' * 1000, 'a b', '../..', 'é'])}")
    if rng.random() < 0.1:
        lines.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:50], body[50:]) if part) + b"0\r\n\r\n"
    else:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    stays = rng.random() > 0.1
    data = head + body if stays else (head + body)[: rng.randrange(len(head) + len(body))]
    return Sent(f"request {number}: {method} {path} {media_type[:40]!r} {len(body)} bytes", data, stays)


class Answer(asyncio.Protocol):
    """All bytes that came, also those before a reset.

    A server that closes while bytes of the request are still under way resets the connection. What it had answered is
    there all the same, but asyncio's StreamReader forgets it when it learns of the reset.
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


async def status_of(sent: Sent, host: str, port: int) -> int | None:
    """Send and read the whole answer; None where the client left first."""
    transport, protocol = await asyncio.get_running_loop().create_connection(Answer, host, port)
    try:
        transport.write(sent.data)
        if not sent.stays:
            return None
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await protocol.closed
    except TimeoutError as exc:
        raise AssertionError(f"no answer within {ANSWER_TIMEOUT_S} s to {sent.description}") from exc
    finally:
        transport.close()
    answer = bytes(protocol.data)
    assert answer.startswith(b"HTTP/1.1 "), f"{answer[:80]!r} to {sent.description}"
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert status in DOCUMENTED, f"{status} {body[:300]!r} to {sent.description}"
    if status >= 400 and body:
        code = json.loads(body)["error"]["code"]
        assert code in {*STATUS, *EDGE_CODES.values()}, f"{code} to {sent.description}"
    return status


async def storm(served: Served, numbers: range) -> Counter[int | None]:
    parts = urlsplit(served.url)
    kinds = pictures()
    queue = iter(numbers)
    statuses: Counter[int | None] = Counter()

    async def client() -> None:
        for number in queue:
            statuses[await status_of(hostile_request(number, kinds), str(parts.hostname), int(parts.port or 0))] += 1

    async with asyncio.TaskGroup() as clients:
        for _ in range(NUM_CLIENTS):
            clients.create_task(client())
    return statuses


@dataclass(frozen=True)
class Footprint:
    """What a process holds at this moment."""

    threads: int
    files: int
    rss_pages: int

    @classmethod
    def of(cls, process: Path) -> Self:
        return cls(len(list((process / "task").iterdir())), len(list((process / "fd").iterdir())), _rss_pages(process))


def worker_of(served: Served) -> Path:
    """Directory in /proc of the process that computes: of the server's processes the largest."""
    port = str(urlsplit(served.url).port).encode()
    servers = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone in between
            if {b"serve", port} <= set((process / "cmdline").read_bytes().split(b"\0")):
                children = (process / "task" / process.name / "children").read_text().split()
                servers += [process, *(Path("/proc") / child for child in children)]
    return max(servers, key=_rss_pages)


def _rss_pages(process: Path) -> int:
    return int((process / "statm").read_text().split()[1])


@pytest.mark.slow
def test_damaged_requests_leave_no_500_no_hang_and_nothing_behind(served: Served) -> None:
    warm = asyncio.run(storm(served, range(NUM_WARM_UP)))
    assert len(warm) >= 4, warm  # the storm reaches answers, refusals of several kinds, and clients that leave
    assert warm[200] > NUM_WARM_UP / 20
    worker = worker_of(served)
    before = Footprint.of(worker)
    asyncio.run(storm(served, range(NUM_WARM_UP, NUM_WARM_UP + NUM_REQUESTS)))
    assert post(served, png(), "image/png").status_code == 200
    after = Footprint.of(worker)
    counted = [line for line in httpx.get(f"{served.url}/metrics").text.splitlines() if "request_total{" in line]
    assert any('http_response_code="400"' in line for line in counted)
    # Where the client had left nobody saw the answer, but operators would be alarmed.
    assert not [line for line in counted if 'http_response_code="500"' in line and not line.endswith(" 0.0")]
    assert after.threads <= before.threads + NUM_POOL_THREADS
    assert after.files <= before.files + 4  # a connection may still be closing
    assert after.rss_pages <= before.rss_pages * 1.05
