"""The two ready filters, with tiny models: pictures that may not be answered for, and faces."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export import face_detector
from runtime.image_filters.faces import boxes_of, faces
from runtime.image_filters.nsfw import nsfw
from runtime.model.hashing import file_sha256
from runtime.model.image import ImageArray
from tests.onnx_filters import FACE_PX, GREEN, write_face_detector, write_red_classifier
from tests.runtime.image_filters.test_looking import ANSWER

PLAIN: dict[str, Any] = {"mean": (0, 0, 0), "scale": (1 / 255,) * 3, "channels": "rgb", "enlarged": 1.0}


def filled(*colour: int, size: tuple[int, int] = (40, 60)) -> ImageArray:
    return np.broadcast_to(np.array(colour, np.uint8), (*size, 3)).copy()


@pytest.mark.parametrize("is_nhwc", [True, False])
def test_picture_that_the_classifier_is_sure_of_is_withheld_and_others_pass(tmp_path: Path, is_nhwc: bool) -> None:
    sha256 = write_red_classifier(tmp_path / "red.onnx", is_nhwc=is_nhwc)
    look = nsfw(file=str(tmp_path / "red.onnx"), sha256=sha256, threshold=0.5, **PLAIN)
    assert look(filled(120, 255, 255), ANSWER).withheld == ""
    seen = look(filled(140, 0, 0), ANSWER)
    assert (seen.withheld, seen.answer) == ("this picture may not be answered for (nsfw)", ANSWER)


def test_mark_keeps_the_answer_and_the_other_class_can_be_meant(tmp_path: Path) -> None:
    sha256 = write_red_classifier(tmp_path / "red.onnx")
    options = {"file": str(tmp_path / "red.onnx"), "sha256": sha256, "threshold": 0.9, "class_index": 0, **PLAIN}
    seen = nsfw(**options, action="mark", mark="dull")(filled(0, 0, 0), ANSWER)
    assert (seen.withheld, seen.answer.marks) == ("", ("dull",))


def test_channels_means_and_the_centre_are_as_stated(tmp_path: Path) -> None:
    """The mean blue of the centre alone, to which 50 is added, divided by 250."""
    sha256 = write_red_classifier(tmp_path / "red.onnx", side=32)
    pixels = filled(0, 0, 0, size=(64, 64))
    pixels[16:48, 16:48] = (0, 255, 160)
    options: dict[str, Any] = {
        "file": str(tmp_path / "red.onnx"),
        "sha256": sha256,
        "mean": (-50, 0, 0),
        "scale": (0.004,) * 3,
        "enlarged": 2.0,
    }
    assert nsfw(**options, threshold=0.83, action="mark")(pixels, ANSWER).answer.marks == ("nsfw",)
    assert nsfw(**options, threshold=0.85, action="mark")(pixels, ANSWER).answer.marks == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file": "hooks/none.onnx"}, "cannot read the model hooks/none.onnx: No such file or directory; in a Bento"),
        ({"sha256": "0" * 64}, "has the SHA-256 .*, and `sha256` states 0000"),
        ({"threshold": 0.0}, "threshold must be above 0"),
        ({"class_index": 2}, "which has no class 2"),
        ({"mean": (1.0,)}, "a number for each of three channels"),
        ({"action": "shout"}, "expected action withhold or mark"),
    ],
)
def test_classifier_that_cannot_be_used_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    sha256 = write_red_classifier(tmp_path / "red.onnx")
    options = {"file": str(tmp_path / "red.onnx"), "sha256": sha256, "threshold": 0.5, **PLAIN, **changes}
    with pytest.raises(ValueError, match=message):
        nsfw(**options)


def test_what_is_no_probability_is_no_clean_picture(tmp_path: Path) -> None:
    sha256 = write_red_classifier(tmp_path / "red.onnx", gain=3.0)
    look = nsfw(file=str(tmp_path / "red.onnx"), sha256=sha256, threshold=0.5, **PLAIN)
    with pytest.raises(ValueError, match="which is no probability"):
        look(filled(255, 0, 0), ANSWER)


def test_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    sha256 = file_sha256(tmp_path / "text.onnx")
    with pytest.raises(ValueError, match="cannot be loaded as an ONNX model"):
        faces(file=str(tmp_path / "text.onnx"), sha256=sha256)


def test_faces_are_found_where_they_are_with_a_margin(tmp_path: Path) -> None:
    sha256 = write_face_detector(tmp_path / "faces.onnx")
    pixels = filled(120, 120, 120, size=(96, 128))
    pixels[40:44, 80:84] = GREEN
    [box] = faces(file=str(tmp_path / "faces.onnx"), sha256=sha256)(pixels, ANSWER).blurred
    half = FACE_PX / 2 * 1.3
    assert box == pytest.approx((82 - half, 42 - half, 82 + half, 42 + half), abs=0.01)


def test_picture_of_any_size_is_seen_in_multiples_and_boxes_are_its_own(tmp_path: Path) -> None:
    """50 x 70 pixels are seen as 64 x 96."""
    sha256 = write_face_detector(tmp_path / "faces.onnx")
    pixels = filled(120, 120, 120, size=(50, 70))
    pixels[20:30, 30:40] = GREEN
    look = faces(file=str(tmp_path / "faces.onnx"), sha256=sha256, min_score=0.9)
    boxes = look(pixels, ANSWER).blurred
    assert boxes
    for left, top, right, bottom in boxes:
        assert (right - left, bottom - top) == pytest.approx(
            (1.3 * FACE_PX * 70 / 96, 1.3 * FACE_PX * 50 / 64), rel=0.01
        )
        assert (left + right) / 2 == pytest.approx(35, abs=5)
        assert (top + bottom) / 2 == pytest.approx(25, abs=5)
    assert look(filled(120, 120, 120), ANSWER).blurred == []


def test_overlapping_boxes_are_one_face_the_surest() -> None:
    scores = np.zeros((8, 8), np.float32)
    scores[2, 2], scores[2, 3], scores[6, 7] = 0.8, 0.9, 0.5
    sizes = np.full((2, 8, 8), np.log(4.0), np.float32)  # 16 pixels
    offsets = np.zeros((2, 8, 8), np.float32)
    assert boxes_of(scores, sizes, offsets, 0.4) == [
        pytest.approx((14 - 8, 10 - 8, 14 + 8, 10 + 8)), pytest.approx((30 - 8, 26 - 8, 30 + 8, 26 + 8))
    ]  # fmt: skip
    assert len(boxes_of(scores, sizes, offsets, 0.6)) == 1


def test_baked_size_is_refused_and_freed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sha256 = write_face_detector(tmp_path / "baked.onnx", size=(32, 64))
    with pytest.raises(ValueError, match=r"has the fixed size \(32, 64\): `python -m export.face_detector` frees it"):
        faces(file=str(tmp_path / "baked.onnx"), sha256=sha256)
    free = tmp_path / "free.onnx"
    assert face_detector.main([str(tmp_path / "baked.onnx"), str(free)]) == 0
    assert f"sha256: {file_sha256(free)}" in capsys.readouterr().out
    look = faces(file=str(free), sha256=file_sha256(free))
    assert look(filled(*GREEN, size=(96, 96)), ANSWER).blurred


def test_file_that_no_detector_of_faces_can_be_made_of_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_red_classifier(tmp_path / "red.onnx", is_nhwc=False)
    (tmp_path / "text.onnx").write_text("no model")
    for name, message in (("red", "is not like CenterFace's"), ("text", "is no ONNX file"), ("none", "No such file")):
        assert face_detector.main([str(tmp_path / f"{name}.onnx"), str(tmp_path / "out.onnx")]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out.onnx").exists()
    (tmp_path / "out.onnx").write_bytes(b"an earlier one")
    assert face_detector.main([str(tmp_path / "red.onnx"), str(tmp_path / "out.onnx")]) == 2
    assert (tmp_path / "out.onnx").read_bytes() == b"an earlier one"
