"""The contact sheet of mask training marks what the mask marks."""

import numpy as np

from dataset.annotations import IGNORED
from training.tasks.masked_pictures import OUTLINE, outlined


def test_the_edge_of_a_marked_defect_is_red_and_nothing_else() -> None:
    image, mask = np.full((8, 8, 3), 90, np.uint8), np.zeros((8, 8), np.uint8)
    mask[2:6, 0:4] = 2
    mask[7, 7] = IGNORED
    red = (outlined(image, mask) == OUTLINE).all(axis=2)
    expected = np.zeros((8, 8), dtype=bool)
    expected[2:6, 0:4] = True
    expected[3:5, 1:3] = False
    assert (red == expected).all()
    assert (image == 90).all()
