"""Say which version of the data each of two models saw, and how the versions differ."""

from dataset.manifest import Manifest, ManifestError
from dataset.splitting.versions import Versions, changes, on_another_side
from export.measured_model import MeasuredModel


def data_seen(candidate: MeasuredModel, reference: MeasuredModel) -> str:
    """Return what the candidate's data have that the reference's had not, with both versions where they are numbered.

    Numbers are those of `versions.json` beside the candidate's manifest.
    """
    before, now = reference.manifest.table, candidate.manifest.table
    told = changes(before, now)
    counts = [f"{len(paths)} {word}" for word, paths in told._asdict().items() if paths]
    moved = len(on_another_side(before, now))
    counts.append(f"{moved} on another side than before" if moved else "no picture on another side than before")
    versions = _versions(candidate.manifest)
    saw = [
        f"{name} saw {known or 'data'} ({model.data_sha256[:12]}, {len(model.manifest.table)} pictures)"
        for name, model in ((reference.name, reference), ("this model", candidate))
        for known in [versions.describe(model.data_sha256)]
    ]
    return f"{' and '.join(saw)}, of which {', '.join(counts)}"


def _versions(manifest: Manifest) -> Versions:
    try:
        return Versions.read(manifest.root)
    except ManifestError:  # a number is a help to the reader, and no reason to refuse a model
        return Versions()
