"""Whether `foreground` can be taken at its word: reliability over all pixels that count.

Maps hold 255ths and every pixel is counted, so that nothing is sampled; the bootstrap draws groups, as everywhere.
"""

import numpy as np

from evaluation.outlines.document import PixelBin, PixelCalibration
from evaluation.outlines.parts import FloatArray
from evaluation.outlines.picture_sums import NUM_BINS
from evaluation.statistics.bootstrap import Resampling, Statistic, as_estimate, figure_of_sums, ratio


def measure_pixel_calibration(bins: FloatArray, resampling: Resampling) -> PixelCalibration:
    """Measure it. bins: `(N, 3, NUM_BINS)` of `PictureSums`, of the pictures of `resampling`."""
    statistics: dict[str, Statistic] = {
        "expected": lambda s: _expected_error(_cells(s)),
        "doubtful": lambda s: _expected_error(_cells(s)[..., 1:-1]),
        "overconfidence": lambda s: _overconfidence(_cells(s)),
    }
    figures = figure_of_sums(resampling, bins.reshape(len(bins), -1), statistics)
    number, stated, true = bins.sum(axis=0)
    return PixelCalibration(
        num_px=int(number.sum()),
        expected_error=as_estimate(figures["expected"]),
        doubtful_error=as_estimate(figures["doubtful"]),
        overconfidence=figures["overconfidence"],
        bins=tuple(
            PixelBin(
                low=place / NUM_BINS,
                high=(place + 1) / NUM_BINS,
                num_px=int(number[place]),
                stated=min(float(stated[place] / number[place]), 1.0),
                true=float(true[place] / number[place]),
            )
            for place in range(NUM_BINS)
            if number[place]
        ),
    )


def _cells(sums: FloatArray) -> FloatArray:
    return sums.reshape(*sums.shape[:-1], 3, NUM_BINS)


def _expected_error(cells: FloatArray) -> FloatArray:
    gaps = np.abs(cells[..., 1, :] - cells[..., 2, :]).sum(axis=-1)
    return ratio(gaps, cells[..., 0, :].sum(axis=-1))


def _overconfidence(cells: FloatArray) -> FloatArray:
    number, stated, true = np.moveaxis(cells.sum(axis=-1), -1, 0)
    return ratio(stated - true, number)
