"""Numbers of `/detect` and `/detect_batch` for Prometheus, beside those of each of its models."""

from collections.abc import Iterable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from runtime.answers.pipeline import PipelineResult
from runtime.serving.prometheus.metrics import SECONDS
from runtime.serving.prometheus.metrics_folder import read_unfinished_files_as_empty

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_CLASSIFIED = ("done", "no_classifier", "deadline", "overloaded", "failed")
_MASKED = ("done", "no_segmenter", "deadline", "overloaded", "failed")


class PipelineMetrics:
    """The metrics of one worker; make it once a process, after BentoML has set up Prometheus.

    objects: what the detector can find. registry: where they are kept; Prometheus's own by default.
    """

    def __init__(self, objects: Iterable[str], registry: "CollectorRegistry | None" = None) -> None:
        # Not at the top: it reads on import where to keep the numbers of several processes, and BentoML sets that late.
        from prometheus_client import REGISTRY, Counter, Histogram

        kept = registry or REGISTRY
        histogram = partial(Histogram, registry=kept, buckets=SECONDS)
        counter = partial(Counter, registry=kept)
        self._stages = {
            "crop_ms": histogram("vision_detect_crop_seconds", "Cutting the crops of one image"),
            "classify_ms": histogram("vision_detect_classify_seconds", "Until an image's crops are classified"),
            "mask_ms": histogram("vision_detect_mask_seconds", "Until an image's masks are there"),
        }
        objects_found = counter("vision_detect_objects", "Objects found, by name", ["label"])
        classified = counter("vision_detect_classified", "Images by what became of their crops", ["outcome"])
        masked = counter("vision_detect_masked", "Images by what became of their masks", ["outcome"])
        self._objects = {name: objects_found.labels(name) for name in objects}
        self._classified = {outcome: classified.labels(outcome) for outcome in _CLASSIFIED}
        self._masked = {outcome: masked.labels(outcome) for outcome in _MASKED}

    def answered(self, results: Sequence[PipelineResult]) -> None:
        """Count what images are answered with."""
        for result in results:
            self._classified[result.classified].inc()
            self._masked[result.masked].inc()
            for detection in result.detections:
                if detection.class_name in self._objects:  # a filter may have given it another
                    self._objects[detection.class_name].inc()
            for name, stage in self._stages.items():
                if ms := getattr(result.timings, name):
                    stage.observe(ms / 1e3)


@cache
def pipeline_metrics(objects: tuple[str, ...]) -> PipelineMetrics:
    """Return this process's metrics: Prometheus refuses the same names twice, and a test may start a service twice."""
    read_unfinished_files_as_empty()
    return PipelineMetrics(objects)
