"""`regions.csv`: what is written is read."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.document import EvaluationError
from evaluation.outlines.region_table import RegionTable

PIXELS = np.arange(2 * 3 * 3).reshape(2, 3, 3)
TABLE = RegionTable(
    np.array(["a, b.png", "c.png"], dtype=object), np.array(["007", "8"], dtype=object), ("Crack, long", "Fray"),
    np.array([50, 0]), PIXELS,
)  # fmt: skip


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    TABLE.write(tmp_path / "regions.csv")
    read = RegionTable.read(tmp_path / "regions.csv")
    assert (read.paths.tolist(), read.groups.tolist()) == (["a, b.png", "c.png"], ["007", "8"])
    assert read.regions == ("Crack, long", "Fray")
    assert read.known_px.tolist() == [50, 0]
    np.testing.assert_array_equal(read.pixels, PIXELS)
    assert read.take(np.array([1])).paths.tolist() == ["c.png"]


def test_the_columns_are_those_that_the_gate_reads(tmp_path: Path) -> None:
    TABLE.write(tmp_path / "regions.csv")
    header, first, _ = (tmp_path / "regions.csv").read_text().splitlines()
    assert header == (
        'path,group,known_px,overlap_px,found_px,there_px,"Crack, long.overlap_px","Crack, long.found_px",'
        '"Crack, long.there_px",Fray.overlap_px,Fray.found_px,Fray.there_px'
    )
    assert first == '"a, b.png",007,50,0,1,2,3,4,5,6,7,8'


def test_what_is_no_such_table_is_named_with_the_command(tmp_path: Path) -> None:
    path = tmp_path / "regions.csv"
    with pytest.raises(EvaluationError, match=r"cannot read .*regions\.csv: No such file.*evaluation\.evaluate"):
        RegionTable.read(path)
    path.write_text("path,group\na,b\n")
    with pytest.raises(EvaluationError, match="no table of outlined pixels"):
        RegionTable.read(path)
    TABLE.write(path)
    path.write_text(path.read_text().replace(",17", ",much"))
    with pytest.raises(EvaluationError, match="much"):
        RegionTable.read(path)
