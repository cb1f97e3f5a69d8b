"""Which parts of a form are pictures, as named clients write them, and how each wrong form is named."""

import base64
import binascii

import pytest

from runtime.answers.refusals import RequestRefused
from runtime.serving.intake.base64_text import decode_base64
from runtime.serving.intake.multipart import read_multipart
from tests.runtime.formats.pictures import ACCEPTED, JPEG, PNG

FORM = "multipart/form-data; boundary=b"
NAMED = 'name="images"; filename="a.jpg"'


def part(content: bytes, disposition: str = NAMED, *headers: str) -> bytes:
    lines = [f"Content-Disposition: form-data; {disposition}", *headers]
    return b"--b\r\n" + "".join(line + "\r\n" for line in lines).encode() + b"\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--b--\r\n"


def read(body: bytes, content_type: str = FORM, max_images: int = 4) -> list[bytes | str]:
    return read_multipart(content_type, body, max_images)


def refusal(body: bytes, content_type: str = FORM, max_images: int = 4) -> tuple[str, int | None, str]:
    with pytest.raises(RequestRefused) as refused:
        read_multipart(content_type, body, max_images)
    return refused.value.code.value, refused.value.index, str(refused.value)


FILES = {
    "a browser": (NAMED, "Content-Type: image/jpeg"),
    "curl": (NAMED,),
    ".NET, whose content has a type and no name": ("name=images", "Content-Type: image/jpeg"),
    "Retrofit, which states a length and an encoding": (
        'name="images"',
        "Content-Transfer-Encoding: binary",
        "Content-Type: image/jpeg",
        "Content-Length: 9",
    ),
    "a type of no kind": ('name="images"', "Content-Type: application/octet-stream"),
    "neither a name nor a type": ('name="images"',),
    "a text that is none": ('name="images"', "Content-Type: text/plain; charset=utf-8"),
    "a name by RFC 5987 alone": ("name=\"images\"; filename*=UTF-8''%e2%82%ac.jpg",),
    "a name in pieces": ('name="images"; filename*0="a"; filename*1=".jpg"',),
    "an empty name": ('name="images"; filename=""', "Content-Type: image/jpeg"),
    "a name with quotes and semicolons": (r'name="images"; filename="a;\"b\".jpg"',),
    "headers in capitals": ('NAME="images"; FILENAME="a.jpg"', "CONTENT-TYPE: IMAGE/JPEG"),
    "axios, PHP": ('name="images[]"; filename="a.jpg"',),
    "a list with indexes": ('name="images[0]"; filename="a.jpg"',),
    "twenty headers": (NAMED, *(f"X-{number}: 1" for number in range(20))),
}


@pytest.mark.parametrize("client", FILES)
@pytest.mark.parametrize("content", ACCEPTED)
def test_part_that_is_a_picture_is_a_file_however_it_is_named(client: str, content: bytes) -> None:
    assert read(form(part(content, *FILES[client]))) == [content]


def test_part_without_a_name_may_be_as_large_as_the_body() -> None:
    large = JPEG + bytes(3_000_000)
    assert read(form(part(large, 'name="images"', "Content-Type: image/jpeg"))) == [large]
    assert read(form(part(large, 'name="images"'))) == [large]


def test_pictures_come_in_the_order_sent_under_all_spellings_of_the_field() -> None:
    suffixes = ("", "[]", "[0]", "[1]", "[]")
    parts = [part(content, f'name="images{suffix}"') for content, suffix in zip(ACCEPTED, suffixes, strict=True)]
    assert read(form(*parts), max_images=5) == list(ACCEPTED)


def test_transfer_encodings_of_mail_are_undone() -> None:
    in_lines = base64.encodebytes(PNG)
    [text] = read(form(part(in_lines, NAMED, "Content-Transfer-Encoding: BASE64")))
    assert isinstance(text, str)
    assert decode_base64(text, 0) == PNG
    quoted = binascii.b2a_qp(PNG, istext=False)
    assert read(form(part(quoted, NAMED, "Content-Transfer-Encoding: quoted-printable"))) == [PNG]
    found = refusal(form(part(PNG), part(PNG, NAMED, "Content-Transfer-Encoding: x-uuencode")))
    assert found[:2] == ("malformed_request", 1)
    assert "'x-uuencode'" in found[2]


TEXTS = {
    b"http://127.0.0.1:9/a.png": "an address, and addresses are not fetched",
    base64.b64encode(PNG): "base64 text",
    base64.encodebytes(JPEG): "base64 text",
    b"data:image/png;base64," + base64.b64encode(PNG): "a data: URI",
    b"tile.jpg": "text ('tile.jpg')",
    b"[object File]": "text ('[object File]')",
    "Stra\u00dfe".encode(): "text ('Stra\u00dfe')",
}


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("headers", [(), ("Content-Type: text/plain",), ("Content-Type: application/json",)])
def test_text_in_place_of_a_file_is_named(text: bytes, headers: tuple[str, ...]) -> None:
    code, index, message = refusal(form(part(PNG), part(text, 'name="images"', *headers)))
    assert (code, index) == ("not_a_file", 1)
    assert f"the field 'images' holds {TEXTS[text]}; send the file itself" in message


@pytest.mark.parametrize("disposition", [NAMED, 'name="images"; filename=""', "name=images; filename*=utf-8''a"])
def test_what_is_named_as_a_file_is_for_the_decoder_whatever_it_holds(disposition: str) -> None:
    assert read(form(part(b"tile.jpg", disposition))) == [b"tile.jpg"]


def test_form_in_a_form_is_named() -> None:
    code, index, message = refusal(
        form(part(PNG), part(b"--c--", "name=images", "Content-Type: multipart/mixed; boundary=c"))
    )
    assert (code, index) == ("malformed_request", 1)
    assert "the part is a form of its own" in message


def test_bytes_that_are_neither_text_nor_a_known_format_are_for_the_decoder() -> None:
    assert read(form(part(b"\x00\x01\x02\x03", 'name="images"'))) == [b"\x00\x01\x02\x03"]


def test_field_of_nothing_says_nothing() -> None:
    """Browsers send a part for an input without a choice, generated forms one for each optional field."""
    no_choice = part(b"", 'name="images"; filename=""', "Content-Type: application/octet-stream")
    empty = part(b"", 'name="threshold"')
    assert read(form(no_choice, part(PNG), empty, part(b"", 'name="images"'), part(b"utf-8", 'name="_charset_"'))) == [
        PNG
    ]
    code, _, message = refusal(form(no_choice))
    assert (code, message) == ("no_image", "the field 'images' holds no file; send one or more files in it")
    # A file that is named and empty is a fault that is told of, by the decoder.
    assert read(form(part(b""))) == [b""]
    assert read(form(part(b"", 'name="images"', "Content-Type: image/png"))) == [b""]


@pytest.mark.parametrize("name", ["image", "file", "files", "files[]", "Images", "images[a]", "images[0", "image_b64"])
def test_other_field_is_refused_and_the_right_one_named(name: str) -> None:
    code, index, message = refusal(form(part(PNG), part(PNG, f'name="{name}"; filename="a.png"')))
    assert (code, index) == ("unknown_field", None)
    assert f"unknown field(s) {name!r}; files go into the field 'images'" in message
    assert ("application/json" in message) == (name == "image_b64")


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 8, 40, len(PNG)])
def test_form_that_is_cut_is_never_taken_for_whole(cut: int) -> None:
    whole = form(part(JPEG), part(PNG))
    code, index, message = refusal(whole[: -cut - 2])
    assert (code, index) == ("malformed_request", None)
    assert message.startswith("the form ends without its closing boundary '--b--': the body was cut")


def test_whole_form_needs_no_last_line_break_and_may_have_text_around_it() -> None:
    whole = form(part(PNG))
    for body in (whole[:-2], b"\r\n" + whole, b"This is a form.\r\n" + whole, whole + b"\r\nThis was a form."):
        assert read(body) == [PNG]
    assert "goes on behind its closing boundary" in refusal(whole + whole)[2]


WRONG_FORMS: dict[str, tuple[str, bytes, str]] = {
    "no boundary, as fetch with a type set by hand": ("multipart/form-data", form(part(PNG)), "let the client set"),
    "an empty boundary": ("multipart/form-data; boundary=", form(part(PNG)), "states no boundary"),
    "another boundary": ("multipart/form-data; boundary=c", form(part(PNG)), "'c' of the content type does not occur"),
    "a boundary that starts another": ("multipart/form-data; boundary=b-", form(part(PNG)), "does not occur"),
    "line feeds alone": (FORM, form(part(b"x")).replace(b"\r\n", b"\n"), "end in a line feed alone"),
    "line feeds alone in headers": (FORM, form(part(b"x").replace(b"\r\nC", b"\nC", 1)), "end in a line feed alone"),
    "line feeds among headers": (
        FORM,
        form(part(b"x", NAMED, "Content-Type: image/png").replace(b"\r\nContent-T", b"\nContent-T")),
        "end in a line feed alone",
    ),
    "a first boundary that lacks a dash": (FORM, form(part(PNG), part(PNG))[1:], "a part stands before the first"),
    "nothing": (FORM, b"", "the form is empty"),
    "no form": (FORM, b"not a form", "does not occur in the body"),
    "a part without a disposition": (FORM, form(b"--b\r\n\r\nx\r\n"), "has no name"),
    "a part without a name": (FORM, form(part(PNG, 'filename="a.png"')), "has no name"),
    "a boundary without end": ("multipart/form-data; boundary=" + "b" * 300, form(part(PNG)), "does not occur"),
    "a long boundary": (
        "multipart/form-data; boundary=" + "b" * 300,
        form(part(PNG)).replace(b"--b", b"--" + b"b" * 300),
        "Boundary length 300 exceeds maximum of 256",
    ),
    "a charset of nobody's": (FORM + "; charset=undefined", form(part(PNG)), "charset 'undefined' is not accepted"),
}


@pytest.mark.parametrize("name", WRONG_FORMS)
def test_wrong_form_is_named(name: str) -> None:
    content_type, body, message = WRONG_FORMS[name]
    found = refusal(body, content_type)
    assert found[:2] == ("malformed_request", None)
    assert message in found[2]


@pytest.mark.parametrize("parameter", ['boundary="b"', "Boundary=b", 'boundary = "b"', "charset=utf-8; boundary=b"])
def test_boundary_is_read_as_clients_write_it(parameter: str) -> None:
    assert read(form(part(PNG)), f"Multipart/Form-Data; {parameter}") == [PNG]


def test_boundary_with_all_characters_of_the_standard() -> None:
    boundary = "0aZ'()+_,-./:=?"
    body = form(part(PNG)).replace(b"--b", b"--" + boundary.encode())
    assert read(body, f'multipart/form-data; boundary="{boundary}"') == [PNG]


def test_more_pictures_than_allowed_and_more_parts_than_anyone_sends() -> None:
    assert refusal(form(*[part(PNG)] * 5))[0] == "too_many_images"
    assert refusal(form(*[part(PNG)] * 3000))[0] == "too_many_images"
    # Each of these takes the parser a step in Python.
    assert refusal(form(part(b"\r\n--b" * 3000)))[0] == "too_many_images"


def test_text_in_place_of_a_form_is_named() -> None:
    """What `fetch` makes of the npm package form-data."""
    code, _, message = refusal(b"[object FormData]")
    assert code == "malformed_request"
    assert "does not occur in the body, which is text ('[object FormData]'); let the client set" in message
