"""The page at `/ui` in a real Chromium, with a server that has all models; what runs without either is tested apart."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, Route, ViewportSize, expect
from pycocotools import mask as coco

from runtime.answers.refusals import STATUS, FetchErrorCode, JobErrorCode
from runtime.serving.error_bodies import EDGE_CODES
from tests.page.conftest import MAX_BODY_BYTES
from tests.service.detecting_models import BLUE, DEEP, draw_objects
from tests.service.requests import png

pytestmark = pytest.mark.slow

TWO = draw_objects({0: DEEP, 3: BLUE})
CLEAR = png(50, 40, (250, 0, 0))
UNSURE = png(50, 40, (120, 110, 0))
PHONE: ViewportSize = {"width": 360, "height": 740}
DESK: ViewportSize = {"width": 1280, "height": 800}
expect.set_options(timeout=30_000)  # machines are busy
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


class Watched:
    """What a page asked for, and what its browser complained about."""

    def __init__(self, page: Page) -> None:
        self.urls: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.urls.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)


@pytest.fixture(scope="module")
def shared(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport=DESK, reduced_motion="reduce")
    page.set_default_timeout(30_000)
    yield page
    page.close()


@pytest.fixture
def watched(shared: Page, url: str) -> Watched:
    """The page anew, and what it does from now on."""
    shared.unroute_all()
    shared.set_viewport_size(DESK)
    shared.emulate_media(color_scheme="light")
    watched = Watched(shared)
    shared.goto(f"{url}/ui")
    return watched


@pytest.fixture
def page(shared: Page, watched: Watched) -> Page:
    return shared


def file(name: str, data: bytes) -> FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": data}


def give(page: Page, *files: FilePayload) -> None:
    """Choose files, and wait until each has an answer or a reason why not."""
    before = page.locator("#sheet li").count()
    page.set_input_files("#files", list(files))
    expect(page.locator("#sheet li")).to_have_count(before + len(files))
    expect(page.locator("#run")).to_be_hidden()
    expect(page.locator("#sheet li[data-state=pending]")).to_have_count(0)


def test_picture_is_answered_by_every_endpoint_and_no_other_server_is_asked(
    page: Page, watched: Watched, url: str
) -> None:
    give(page, file("two.png", TWO))
    objects, outlines = page.locator(".finding[data-api=detect]"), page.locator(".finding[data-api=segment]")
    expect(objects.locator("table.shapes tbody th")).to_have_count(2)
    assert sorted(objects.locator("table.shapes tbody th").all_inner_texts()) == ["blue", "red"]
    assert objects.get_by_role("button", name="Show A").count() == 1
    assert "deep" in objects.inner_text()
    assert outlines.locator("table.shapes tbody tr").count() == 2
    expect(page.locator(".finding[data-api=predict] .bars").first.locator("tr")).to_have_count(3)
    expect(page.locator("#file-facts")).to_have_text("96 × 72 pixels, " + page.evaluate("n => `${n} B`", len(TWO)))
    page.locator(".finding[data-api=predict] summary").click()
    told = page.locator(".finding[data-api=predict] details").inner_text()
    for stage in ("decode", "inference", "total", "Request id", "vision-classifier"):
        assert stage in told
    assert all(asked.startswith((url, f"blob:{url}")) for asked in watched.urls)
    assert watched.complaints == []


def test_shape_whose_row_is_pointed_at_stands_out_whatever_comes_in_meanwhile(page: Page) -> None:
    give(page, file("two.png", TWO), file("red.png", CLEAR))
    shown = "new Promise((done) => picture.complete ? requestAnimationFrame(done) : (picture.onload = done))"
    page.evaluate(f"(picture) => {shown}", page.locator("#picture").element_handle())
    drawn = "document.getElementById('over').toDataURL()"
    plain = page.evaluate(drawn)
    page.locator(".finding[data-api=detect] table.shapes tbody tr").first.hover()
    pointed_at = page.evaluate(drawn)
    assert pointed_at != plain
    give(page, file("3.png", CLEAR), file("4.png", CLEAR))
    assert page.evaluate(drawn) == pointed_at


def test_answer_that_the_model_is_not_sure_of_says_so_and_from_where_on_it_is(page: Page) -> None:
    give(page, file("unsure.png", UNSURE))
    expect(page.locator("#verdict")).to_have_text("Not sure")
    expect(page.locator(".unsure-note").first).to_contain_text("relied on from 70.0%")
    expect(page.locator("#said")).to_contain_text("Not sure")


LOOK = """async () => {
  const picture = document.querySelector('#picture'); await picture.decode();
  const over = document.querySelector('#over'), small = document.createElement('canvas');
  [small.width, small.height] = [picture.naturalWidth, picture.naturalHeight];
  small.getContext('2d').drawImage(picture, 0, 0);
  const at = (canvas, x, y) => {
    const place = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
    return [...canvas.getContext('2d').getImageData(...place, 1, 1).data];
  };
  const points = [[.8, .2], [.2, .2], [.2, .8], [.8, .8]];
  const [below, above] = [small, over].map((canvas) => points.map(([x, y]) => at(canvas, x, y)));
  return {size: [small.width, small.height], picture: below, over: above.map((pixel) => pixel[3])};
}"""


def test_outline_lies_on_what_it_outlines_in_a_photograph_that_lies_on_its_side(page: Page) -> None:
    image = Image.open(io.BytesIO(draw_objects({0: DEEP})))
    exif = image.getexif()
    exif[0x0112] = 6  # shown turned by a quarter, clockwise: the object, at the top left, comes to the top right
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, quality=95)
    give(page, {"name": "turned.jpg", "mimeType": "image/jpeg", "buffer": buffer.getvalue()})
    expect(page.locator("#over")).to_be_visible()
    seen = page.evaluate(LOOK)
    assert seen["size"] == [72, 96]
    is_red = [red > 150 and green < 100 for red, green, _, _ in seen["picture"]]
    assert is_red == [True, False, False, False]
    assert [alpha > 0 for alpha in seen["over"]] == is_red


def test_errors_are_said_in_words_and_one_bad_file_disturbs_no_other(page: Page) -> None:
    large = file("large.png", b"\x89PNG" + bytes(MAX_BODY_BYTES))
    give(page, file("notes.txt", b"\x00\x01 no picture"), file("half.png", TWO[:200]), large, file("good.png", CLEAR))
    titles = page.locator("#sheet li b").all_inner_texts()
    assert titles == [
        "This is not a picture that can be read", "The picture is damaged", "The file is too large", "red",
    ]  # fmt: skip
    page.locator("#sheet li").nth(2).click()
    expect(page.locator(".problem")).to_have_count(1)
    page.locator(".problem summary").click()
    expect(page.locator(".problem")).to_contain_text("the service takes up to 1.0 MB")
    expect(page.locator("#again")).to_be_hidden()
    expect(page.locator("#said")).to_contain_text("3 without an answer")


def test_busy_service_is_asked_again_and_a_run_can_be_stopped_and_go_on(page: Page) -> None:
    answers = [503, 503]

    def refuse_twice(route: Route) -> None:
        if answers:
            body = json.dumps({"error": {"code": "overloaded", "message": "full", "index": None, "request_id": "r"}})
            route.fulfill(status=answers.pop(), headers={"retry-after": "1"}, body=body)
        else:
            route.fallback()

    for name in ("segment", "detect"):
        page.evaluate("id => document.getElementById(id).click()", f"ask-{name}")
    page.route("**/predict", refuse_twice)
    give(page, file("busy.png", CLEAR))
    assert answers == []
    expect(page.locator("#verdict")).to_have_text("red")

    page.unroute_all()
    held: list[Route] = []
    page.route("**/predict", lambda route: held.append(route))
    page.set_input_files("#files", [file(f"{number}.png", CLEAR) for number in range(9)])
    expect(page.locator("#progress-words")).to_have_text("1 of 10")
    expect(page.locator("#sheet li b", has_text="Asking")).to_have_count(4)
    assert len(held) == 4
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#sheet li b", has_text="Stopped")).to_have_count(9)
    page.unroute_all()
    page.locator("#again").click()
    expect(page.locator("#sheet li[data-state=done]")).to_have_count(10)


def test_where_nothing_is_asked_for_nothing_runs(page: Page) -> None:
    for name in ("predict", "segment", "detect"):
        page.evaluate("id => document.getElementById(id).click()", f"ask-{name}")
    page.set_input_files("#files", [file(f"{number}.png", CLEAR) for number in range(2)])
    expect(page.locator("#sheet li b", has_text="Not asked")).to_have_count(2)
    expect(page.locator("#said")).to_have_text("2 pictures: 0 answered, 0 not sure, 0 without an answer, 2 not asked")
    expect(page.locator("#run")).to_be_hidden()


WALK = """async () => {
  const [intake, words] = await Promise.all([import('./ui/intake.js'), import('./ui/words.js')]);
  const file = (name, isReadable = true) => ({
    name, fullPath: `/tiles/${name}`, file: (take, fail) => isReadable ? take(new File([], name)) : fail(new Error()),
  });
  const folder = (name, entries) => ({
    name, fullPath: `/${name}`, isDirectory: true,
    createReader: () => ({readEntries: (take, fail) => entries ? take(entries.splice(0)) : fail(new Error())}),
  });
  const found = {files: [], leftOut: []};
  const notes = ['1.txt', '2.txt', '3.txt', '4.txt'].map((name) => file(name));
  await intake.walk(folder('tiles', [file('b.png'), file('a.png', false), folder('closed', null), ...notes]), found);
  return [found.files.map((one) => one.pathInFolder), words.leftOutWords(found.leftOut), words.leftOutWords([])];
}"""


def test_file_of_a_folder_that_cannot_be_read_costs_no_other_and_all_that_is_left_out_is_said(page: Page) -> None:
    assert page.evaluate(WALK) == [
        ["tiles/b.png"],
        "Left out: /tiles/1.txt, /tiles/2.txt, /tiles/3.txt and 1 more (no pictures by their names); "
        "/tiles/a.png, /closed (not readable).",
        "",
    ]


def test_sheet_is_walked_narrowed_and_saved_as_csv(page: Page) -> None:
    names = ["=1+1.png", 'a "b", c.png', "unsure.png"]
    give(page, *[file(name, data) for name, data in zip(names, [CLEAR, CLEAR, UNSURE], strict=True)])
    tiles = page.locator("#sheet li")
    tiles.first.click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("End")
    expect(page.locator("#sheet li[aria-selected=true] .name")).to_have_text("unsure.png")
    expect(page.locator("#file-name")).to_have_text("unsure.png")
    page.get_by_role("button", name="red 2").click()
    assert [tile.is_visible() for tile in tiles.all()] == [True, True, False]
    with page.expect_download() as download:
        page.locator("#csv").click()
    text = Path(download.value.path()).read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["file"] for row in rows[::3]] == ["'=1+1.png", 'a "b", c.png', "unsure.png"]
    assert [row["asked"] for row in rows[:3]] == ["predict", "segment", "detect"]
    assert [(row["label"], row["abstained"]) for row in rows[::3]] == [
        ("red", "false"),
        ("red", "false"),
        ("red", "true"),
    ]
    shares = [float(rows[0][f"probability.{name}"]) for name in ("red", "green", "blue")]
    assert sum(shares) == pytest.approx(1)
    assert float(rows[0]["probability"]) == max(shares)
    assert all(row["request_id"] and row["version"] and float(row["total_ms"]) > 0 for row in rows)


def test_keyboard_alone_brings_a_picture_in_and_looks_at_it(page: Page, tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(CLEAR)
    # Before any key: the browser learns of it in its own time, and would open a window of its own instead.
    page.once("filechooser", lambda chooser: chooser.set_files(tmp_path / "red.png"))
    page.keyboard.press("Tab")
    expect(page.locator("#skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#view-pictures")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#choose-first")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#verdict")).to_have_text("red")
    page.locator("#to-model").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#view-model")).to_be_focused()
    expect(page.locator("#view-pictures")).to_be_hidden()
    page.go_back()
    expect(page.locator("#verdict")).to_have_text("red")


def test_model_is_shown_with_its_card_and_confusion_matrix_and_the_card_runs_nothing(page: Page) -> None:
    page.locator("#to-model").click()
    section = page.locator(".model").first
    expect(section.locator(".confusion tbody tr").first.locator("td")).to_have_text(["11", "1", "0", "12"])
    section.locator("summary").click()
    expect(section.locator(".card td.right")).to_have_text("12")
    assert page.title() == "Vision: look at pictures"
    assert "taken over" in section.inner_text()
    assert page.locator(".confusion").count() == 1  # the others come without an evaluation


def violations(page: Page) -> list[str]:
    found = Axe().run(page, options={"runOnly": RULES, "resultTypes": ["violations"]}).response["violations"]
    return [f"{rule['id']}: {node['target']} {node['failureSummary']}" for rule in found for node in rule["nodes"]]


def test_screen_readers_and_all_eyes_can_use_every_part_on_a_phone_too(page: Page) -> None:
    """axe-core finds nothing in light and dark, and nothing is wider than a phone."""

    def check(part: str) -> None:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert violations(page) == [], f"{part}, {scheme}"
        page.set_viewport_size(PHONE)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], part
        page.set_viewport_size(DESK)

    check("empty")
    give(page, file("two.png", TWO), file("unsure.png", UNSURE), file("bad.png", b"\x00\x01"))
    for number in range(3):
        page.locator("#sheet li").nth(number).click()
        page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        check(f"picture {number}")
    page.locator("#to-model").click()
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    check("model")


# The modules that need no picture, in the browser that they are for.

FILL = """async ([counts, height, width]) => {
  const masks = await import('./ui/masks.js');
  const runs = masks.decodeCounts(counts);
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext('2d');
  const path = new Path2D();
  for (const line of masks.outlinesOf(runs, height)) {
    path.moveTo(line[0], line[1]);
    for (let i = 2; i < line.length; i += 2) path.lineTo(line[i], line[i + 1]);
    path.closePath();
  }
  context.fill(path, 'evenodd');
  const alpha = [...context.getImageData(0, 0, width, height).data].filter((_, place) => place % 4 === 3);
  return {runs, alpha};
}"""


def drawn_masks() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    ring = np.zeros((12, 9), bool)
    ring[1:11, 1:8] = True
    ring[3:8, 3:6] = False
    corners = np.zeros((6, 6), bool)
    corners[:3, :3] = corners[3:, 3:] = True  # touch at a point
    full = np.ones((5, 7), bool)
    noise = rng.random((17, 13)) < 0.5
    blob = np.zeros((300, 400), bool)
    blob[40:290, 10:390] = True
    return {
        "ring": ring,
        "corners": corners,
        "full": full,
        "noise": noise,
        "blob": blob,
        "none": np.zeros((4, 4), bool),
    }


def test_masks_are_decoded_as_pycocotools_encodes_them_and_drawn_to_the_pixel(page: Page) -> None:
    for name, mask in drawn_masks().items():
        encoded = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        seen = page.evaluate(FILL, [encoded["counts"].decode(), *mask.shape])
        assert sum(seen["runs"][1::2]) == mask.sum(), name
        assert sum(seen["runs"]) == mask.size, name
        assert set(seen["alpha"]) <= {0, 255}, name
        assert (np.reshape(seen["alpha"], mask.shape) == 255 * mask).all(), name


def test_every_code_of_the_service_has_words(page: Page) -> None:
    known = page.evaluate("import('./ui/words.js').then((words) => words.knownCodes())")
    # The page sends pictures, no addresses and no jobs.
    own = {str(code.value) for code in STATUS if not isinstance(code, FetchErrorCode | JobErrorCode)}
    assert own | set(EDGE_CODES.values()) <= set(known)


def test_numbers_are_never_rounded_to_what_they_are_not(page: Page) -> None:
    said = page.evaluate(
        "import('./ui/words.js').then((w) => [0, .0001, .5, .99951, 1].map(w.percent)"
        ".concat([w.fileSize(999), w.fileSize(1500), w.fileSize(2.34e7), w.counted(1, 'picture'), w.duration(1234)]))"
    )
    assert said == ["0%", "< 0.1%", "50.0%", "> 99.9%", "100%", "999 B", "1.5 kB", "23 MB", "1 picture", "1.23 s"]


def test_answer_of_something_in_between_is_told_by_its_status(page: Page) -> None:
    page.route("**/predict", lambda route: route.fulfill(status=413, body="<html>Request Entity Too Large</html>"))
    page.route("**/segment", lambda route: route.abort())
    page.route("**/detect", lambda route: route.fulfill(status=200, body="<html>Log in</html>"))
    give(page, file("two.png", TWO))
    expect(page.locator(".problem p:first-child b")).to_have_text(
        ["The file is too large", "The service cannot be reached", "The answer was not understood"]
    )
