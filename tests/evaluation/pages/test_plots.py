"""Pictures of an evaluation."""

import html
import io

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from evaluation.evaluation import Estimate, Evaluation
from evaluation.pages import plots
from evaluation.pages.plots import HeadlinePlots, draw_confusion, draw_per_class_f1, to_png, to_svg
from project import fonts
from tests.evaluation.project import Project


@pytest.fixture(scope="module")
def evaluation(shared_carded: Project) -> Evaluation:
    return Evaluation.read(shared_carded.evaluation_dir / "evaluation.json")


def pixels(figure: Figure) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(to_png(figure))).convert("RGB")).astype(int)


def with_classes(evaluation: Evaluation, names: list[str]) -> Evaluation:
    results = [evaluation.per_class[0].model_copy(update={"name": name}) for name in names]
    counts = (np.eye(len(names), dtype=int) * 7 + 1).tolist()
    return evaluation.model_copy(
        update={"classes": tuple(names), "per_class": tuple(results), "confusion": tuple(map(tuple, counts))}
    )


def test_equal_evaluations_give_equal_bytes(evaluation: Evaluation) -> None:
    for draw in (draw_confusion, draw_per_class_f1):
        for write in (to_png, to_svg):
            assert write(draw(evaluation)) == write(draw(evaluation))


def test_another_confusion_matrix_gives_another_picture(evaluation: Evaluation) -> None:
    other = evaluation.model_copy(update={"confusion": ((10, 0, 0), (0, 9, 1), (0, 0, 10))})
    assert to_png(draw_confusion(evaluation)) != to_png(draw_confusion(other))


def test_colour_follows_the_share_of_a_row_so_that_a_rare_class_shows(evaluation: Evaluation) -> None:
    def darkest_share(diagonal: int) -> float:
        counts = ((1000, 0, 0), (0, 1000, 0), (0, 0, diagonal))
        image = pixels(draw_confusion(evaluation.model_copy(update={"confusion": counts})))
        return float(((image == [8, 48, 107]).all(axis=2)).mean())  # the darkest of matplotlib's Blues

    assert darkest_share(diagonal=2) == pytest.approx(darkest_share(diagonal=1000), rel=0.1)


@pytest.mark.parametrize("num_classes", [2, 12, 30])
def test_pictures_grow_with_the_number_of_classes(evaluation: Evaluation, num_classes: int) -> None:
    many = with_classes(evaluation, [f"class {i}" for i in range(num_classes)])
    height, width, _ = pixels(draw_confusion(many)).shape
    assert min(height, width) / num_classes > 45  # pixels a cell with its share of the margins
    assert pixels(draw_per_class_f1(many)).shape[0] > 40 * num_classes


@pytest.mark.parametrize("num_classes", [41, 200])
def test_confusion_of_many_classes_is_no_larger_than_of_forty_and_has_no_counts(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch, num_classes: int
) -> None:
    def counted(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a count that nobody could read")

    monkeypatch.setattr(Axes, "text", counted)
    many = with_classes(evaluation, [f"class {i}" for i in range(num_classes)])
    height, width, _ = pixels(draw_confusion(many)).shape
    assert max(height, width) <= 160 * (0.42 * 40 + 2)


def test_every_class_is_named_as_long_as_a_name_can_be_read(evaluation: Evaluation) -> None:
    seen: list[tuple[list[str], float]] = []
    for num_classes in (60, 220, 1000):
        seen.append(_names_on(draw_confusion(with_classes(evaluation, [f"class {i}" for i in range(num_classes)]))))
    assert [len(names) for names, _ in seen] == [60, 220, 200]
    assert seen[2][0][:2] == ["class 0", "class 5"]
    assert all(points >= 4 for _, points in seen)


def _names_on(figure: Figure) -> tuple[list[str], float]:
    labels = figure.axes[0].get_yticklabels()
    return [label.get_text() for label in labels], float(labels[0].get_fontsize())


def test_class_names_are_never_read_as_mathematics(evaluation: Evaluation) -> None:
    strange = with_classes(evaluation, ["$\\frac{1}$", "a_b^c$", "<b>"])
    for draw in (draw_confusion, draw_per_class_f1):
        svg = to_svg(draw(strange)).decode()
        assert html.escape("$\\frac{1}$", quote=False) in svg
        assert "&lt;b&gt;" in svg
        assert len(to_png(draw(strange))) > 1000


def test_names_of_any_script_stay_text_in_a_page_and_are_numbers_where_a_png_has_no_font(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """matplotlib warns of a missing character, which fails a test."""
    monkeypatch.setattr(fonts, "findSystemFonts", list)
    fonts._fonts_for.cache_clear()
    fonts.drawable_names.cache_clear()
    named = with_classes(evaluation, ["裂纹（表面）", "🔥 ひび割れ", "crack"])
    drawn = HeadlinePlots.of(named)
    for svg in (to_svg(drawn.confusion).decode(), to_svg(drawn.per_class_f1).decode()):
        assert "裂纹（表面）" in svg
        assert "🔥 ひび割れ" in svg
    in_files = drawn.for_png(named)
    assert _names_on(in_files.confusion)[0] == ["class 0", "class 1", "crack"]
    assert len(to_png(in_files.per_class_f1)) > 1000


def test_an_undefined_f1_is_drawn_as_words(evaluation: Evaluation) -> None:
    first = evaluation.per_class[0].model_copy(update={"f1": Estimate(value=None)})
    undefined = evaluation.model_copy(update={"per_class": (first, *evaluation.per_class[1:])})
    assert to_png(draw_per_class_f1(undefined)) != to_png(draw_per_class_f1(evaluation))


def test_f1_of_many_classes_is_drawn_of_the_lowest_and_is_no_taller(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand bars would be more pixels than a picture may have."""
    monkeypatch.setattr(plots, "_MAX_BARS", 5)
    names = [f"class {i:04d}" for i in range(1000)]
    tall = pixels(draw_per_class_f1(with_classes(evaluation, names[:5]))).shape[0]
    assert pixels(draw_per_class_f1(with_classes(evaluation, names))).shape[0] == tall
