"""Folders of pictures with boxes in files of their own, drawn for a test, and the commands that read them."""

from pathlib import Path

from tests.dataset.masked_files import HEIGHT, WIDTH, MaskedFolder
from tests.dataset.picture_files import save, texture


class YoloFolder(MaskedFolder):
    """`root/images`, `root/labels` and, at the top, `classes.txt`."""

    pictures, labels_dir, suffix = "images", "labels", "txt"

    def boxed(self, name: str, text: str | None) -> Path:
        """Draw a picture `name` (without an ending); write its file of boxes where `text` is given. Return that."""
        self._seed += 1
        save(self.root / self.pictures / f"{name}.png", texture(self._seed, HEIGHT, WIDTH))
        path = self.root / self.labels_dir / f"{name}.{self.suffix}"
        if text is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return path

    def write(self, name: str, text: str) -> None:
        """Write a file beside."""
        (self.root / name).write_text(text, encoding="utf-8")


class VocFolder(YoloFolder):
    """`root/JPEGImages` and `root/Annotations`."""

    pictures, labels_dir, suffix = "JPEGImages", "Annotations", "xml"

    def annotated(self, name: str, *objects: str, size: tuple[int, int] | None = (WIDTH, HEIGHT)) -> Path:
        """Draw a picture with `voc_object`s; return its file of boxes."""
        stated = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>1</depth></size>" if size else ""
        lines = [f"<annotation><filename>{name}.png</filename>", stated, *objects, "</annotation>"]
        return self.boxed(name, "\n".join(lines))


def voc_object(name: str, *corners: float, difficult: int = 0) -> str:
    """Return one object in one line. corners: xmin, ymin, xmax, ymax."""
    sides = "".join(
        f"<{side}>{value}</{side}>" for side, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    )
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{sides}</bndbox></object>"
