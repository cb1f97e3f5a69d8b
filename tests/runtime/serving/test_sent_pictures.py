"""A picture of the pipeline: kept until its crops are cut if there is room, decoded once more if there is none."""

import gc

import numpy as np
import pytest

from runtime.answers.refusals import RequestRefused
from runtime.serving.pipeline.sent_pictures import PictureRoom, Reading, SentPicture
from tests.service.detecting_models import DEEP, crop_contract, detection_contract, draw_objects
from tests.service.requests import truncated_jpeg

PICTURE = draw_objects({0: DEEP, 3: DEEP})
NUM_BYTES = 4 * 96 * 72
BOXES = [(0, 0, 45, 33), (51, 39, 96, 72)]


def reading(max_bytes: int, is_cut: bool = True) -> Reading:
    return Reading((detection_contract(),), is_cut, None, PictureRoom(max_bytes))


def test_a_picture_without_room_is_decoded_again_and_cut_alike() -> None:
    tight = reading(NUM_BYTES + NUM_BYTES // 2)
    kept, not_kept = SentPicture.read(PICTURE, 0, tight), SentPicture.read(PICTURE, 1, tight)
    assert tight.room.taken_bytes == NUM_BYTES
    one, other = (picture.crops(BOXES, crop_contract()) for picture in (kept, not_kept))
    assert one.shape == (2, 16, 16, 3)
    assert np.array_equal(one, other)
    kept.close()
    kept.close()
    not_kept.close()
    assert tight.room.taken_bytes == 0


def test_room_is_given_back_also_for_a_picture_that_nobody_took() -> None:
    roomy = reading(10 * NUM_BYTES)
    SentPicture.read(PICTURE, 0, roomy)
    gc.collect()
    assert roomy.room.taken_bytes == 0


def test_nothing_is_kept_where_nothing_is_cut() -> None:
    uncut = reading(10 * NUM_BYTES, is_cut=False)
    picture = SentPicture.read(PICTURE, 0, uncut)
    assert uncut.room.taken_bytes == 0
    assert picture.inputs[0][1].picture == (96, 72)


def test_a_picture_that_cannot_be_read_is_named_by_its_place() -> None:
    roomy = reading(10 * NUM_BYTES)
    with pytest.raises(RequestRefused, match="image 3: ") as refused:
        SentPicture.read(truncated_jpeg(), 3, roomy)
    assert (refused.value.code, refused.value.index) == ("corrupt_image", 3)
    assert roomy.room.taken_bytes == 0
