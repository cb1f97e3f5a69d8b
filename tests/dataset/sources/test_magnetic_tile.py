"""The photographs' layout and their tiles; the archive's download against a real server."""

import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dataset.manifest import ManifestError
from dataset.sources.magnetic_tile import holds_magnetic_tiles, read_magnetic_tile
from dataset.sources.magnetic_tile_download import download_magnetic_tile
from tests.dataset.picture_files import exposed, make_magnetic_tiles, save, texture


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_magnetic_tiles(tmp_path_factory.mktemp("set"))


def sizes(root: Path) -> list[int]:
    return sorted(Counter(picture.group for picture in read_magnetic_tile(root).pictures).values())


def test_each_round_of_exposures_is_one_tile(root: Path) -> None:
    collection = read_magnetic_tile(root)
    assert sizes(root) == [6] * 6
    assert {picture.label for picture in collection.pictures} == {"Blowhole", "Free"}
    first = collection.pictures[0]
    assert first.path == "pictures/images/Blowhole/exp1_num_115.jpg"
    assert first.mask == "pictures/masks/Blowhole/exp1_num_115.png"
    assert first.attributes == {"exposure": "1"}
    assert collection.originals[first.mask] == root / "MT_Blowhole" / "Imgs" / "exp1_num_115.png"
    assert collection.description.compare_protocols


def renumber(root: Path, mapping: dict[int, int]) -> None:
    for path in sorted(root.rglob("exp*")):
        number = int(path.stem.split("_")[-1])
        if number in mapping:
            path.rename(path.with_name(path.name.replace(f"_{number}.", f"_{mapping[number]}.")))


def test_interleaved_rounds_of_two_tiles_are_told_apart(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "set"))
    # The second tile's round (705 to 780) is moved into the first's (115 to 190), one shot after each.
    renumber(copy, {705 + 15 * shot: 117 + 15 * shot for shot in range(6)})
    assert sizes(copy) == [6] * 6


def test_a_later_round_of_a_tile_joins_the_first(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "set"))
    for path in sorted((root / "MT_Free" / "Imgs").iterdir())[:4]:
        number = int(path.stem.split("_")[-1])
        shutil.copyfile(path, copy / "MT_Free" / "Imgs" / path.name.replace(str(number), str(90_000 + number)))
    assert sum(sizes(copy)) == 38
    assert len(sizes(copy)) == 6


def test_shots_of_a_round_that_hardly_overlap_are_joined_by_their_order(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "set"))
    for shot, number in enumerate((160, 175, 190), start=4):
        save(copy / "MT_Blowhole" / "Imgs" / f"exp{shot}_num_{number}.jpg", exposed(texture(77, 200, 280), 0.2 * shot))
    assert sizes(copy) == [6] * 6


def test_a_missing_mask_is_left_empty(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "set"))
    (copy / "MT_Blowhole" / "Imgs" / "exp1_num_115.png").unlink()
    masks = [picture.mask for picture in read_magnetic_tile(copy).pictures]
    assert masks.count("") == 1


def test_strange_names_damaged_pictures_and_empty_classes_are_refused(root: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "set"))
    image = copy / "MT_Free" / "Imgs" / "holiday.jpg"
    image.write_bytes(b"x")
    with pytest.raises(ManifestError, match=r"not named exp<E>_num_<N>\.jpg: .*holiday\.jpg"):
        read_magnetic_tile(copy)
    image.rename(image.with_name("exp1_num_7.jpg"))
    with pytest.raises(ManifestError, match=r"1 picture\(s\) cannot be read: .*exp1_num_7\.jpg \(not an image"):
        read_magnetic_tile(copy)
    (copy / "MT_Fray" / "Imgs").mkdir(parents=True)
    with pytest.raises(ManifestError, match="without a picture: Fray"):
        read_magnetic_tile(copy)
    with pytest.raises(ManifestError, match="not the magnetic-tile set"):
        read_magnetic_tile(tmp_path)


@pytest.mark.slow
@pytest.mark.reference
def test_the_photographs_fall_into_219_tiles(reference_dir: Path) -> None:
    """Numbers checked by looking at the pictures; see the module's docstring."""
    pictures = read_magnetic_tile(reference_dir).pictures
    assert len(pictures) == 1344
    shots = Counter(picture.group for picture in pictures)
    assert len(shots) == 219
    assert Counter(shots.values())[6] == 206
    tiles = Counter(label for label, _ in {(picture.label, picture.group) for picture in pictures})
    assert tiles == {"Free": 158, "Blowhole": 20, "Uneven": 17, "Break": 16, "Crack": 9, "Fray": 7}
    group_of = {Path(picture.path).stem: picture.group for picture in pictures}
    assert group_of["exp1_num_53011"] == group_of["exp1_num_65001"]  # a tile that came back 12,000 shots later
    assert group_of["exp1_num_54246"] == group_of["exp6_num_54366"]  # interleaved with the next
    assert group_of["exp1_num_54246"] != group_of["exp6_num_54271"]
    assert group_of["exp1_num_320895"] != group_of["exp2_num_321452"]  # E rises, but it is another tile


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class names it)
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    served = tmp_path / "served"
    served.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=served)) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}", served
        httpd.shutdown()
        thread.join()


def test_the_archive_is_fetched_once_and_found_below_its_top_folder(
    root: Path, tmp_path: Path, server: tuple[str, Path]
) -> None:
    url, served = server
    shutil.copytree(root, tmp_path / "pack" / "set-master")
    shutil.make_archive(str(served / "master"), "zip", tmp_path / "pack")
    downloads = tmp_path / "downloads"
    found = download_magnetic_tile(downloads, f"{url}/master.zip")
    assert found.name == "set-master"
    assert holds_magnetic_tiles(found)
    (served / "master.zip").unlink()
    assert download_magnetic_tile(downloads, f"{url}/master.zip") == found
    assert sorted(path.name for path in downloads.iterdir()) == ["magnetic-tile", "magnetic-tile.zip"]


def test_a_failed_download_names_the_alternative_and_leaves_nothing(tmp_path: Path, server: tuple[str, Path]) -> None:
    with pytest.raises(ManifestError, match=r"cannot download .*404.*make data DATA=PATH"):
        download_magnetic_tile(tmp_path / "downloads", f"{server[0]}/absent.zip")
    with pytest.raises(ManifestError, match=r"cannot download .*make data DATA=PATH"):
        download_magnetic_tile(tmp_path / "downloads", "http://127.0.0.1:9/master.zip")
    assert list((tmp_path / "downloads").iterdir()) == []


def test_an_archive_that_is_none_is_removed_so_that_a_second_run_can_succeed(
    root: Path, tmp_path: Path, server: tuple[str, Path]
) -> None:
    url, served = server
    (served / "master.zip").write_bytes(b"<html>rate limited</html>")
    with pytest.raises(ManifestError, match="not a complete zip archive"):
        download_magnetic_tile(tmp_path / "downloads", f"{url}/master.zip")
    shutil.make_archive(str(served / "master"), "zip", root)
    assert holds_magnetic_tiles(download_magnetic_tile(tmp_path / "downloads", f"{url}/master.zip"))
