"""Numbers for Prometheus beside BentoML's own, served at the same `/metrics`. Every label has a fixed set of values."""

from collections.abc import Iterable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from runtime.answers.results import Prediction
from runtime.answers.segmentation import Segmentation
from runtime.serving.prometheus.metrics_folder import read_unfinished_files_as_empty

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)
_TILES = (*_IMAGES, 256)
_CONFIDENCE = tuple(i / 20 for i in range(1, 21))


class ServiceMetrics:
    """The metrics of one worker; make it once a process, after BentoML has set up Prometheus.

    classes: the model's, so that each has a series from the start. reasons: codes that a request can be refused with.
    registry: where they are kept; Prometheus's own, which `/metrics` shows, by default. prefix: how their names begin:
    two models of one process count apart. regions: names that the model gives to parts of an image, if it does.
    """

    def __init__(
        self,
        classes: Iterable[str],
        reasons: Iterable[str],
        registry: "CollectorRegistry | None" = None,
        prefix: str = "vision",
        regions: Iterable[str] = (),
    ) -> None:
        # Not at the top: it reads on import where to keep the numbers of several processes, and BentoML sets that late.
        from prometheus_client import REGISTRY, Counter, Gauge, Histogram

        kept = registry or REGISTRY
        histogram, counter = partial(Histogram, registry=kept), partial(Counter, registry=kept)
        self.batch_images = histogram(f"{prefix}_batch_images", "Images in one batch", buckets=_IMAGES)
        self.batch_requests = histogram(f"{prefix}_batch_requests", "Requests in one batch", buckets=_IMAGES)
        self.queue_images = Gauge(
            f"{prefix}_queue_images", "Images that wait for a session", multiprocess_mode="livesum", registry=kept
        )
        self.queue_wait = histogram(
            f"{prefix}_queue_wait_seconds", "From decoded images to the start of their batch", buckets=SECONDS
        )
        self.decode = histogram(
            f"{prefix}_decode_seconds", "From a request's last byte to its decoded images", buckets=SECONDS
        )
        self.inference = histogram(f"{prefix}_inference_seconds", "One batch in the model", buckets=SECONDS)
        self.confidence = histogram(
            f"{prefix}_confidence", "Calibrated probability of the most probable class", buckets=_CONFIDENCE
        )
        refusals = counter(f"{prefix}_refusals", "Requests that got an error instead of predictions", ["reason"])
        predictions = counter(f"{prefix}_predictions", "Images by most probable class", ["label"])
        self._abstentions = counter(f"{prefix}_abstentions", "Images whose answer says that the model is not sure")
        self._refusals = {reason: refusals.labels(reason) for reason in reasons}
        self._predictions = {label: predictions.labels(label) for label in classes}
        self.encode: Histogram | None = None
        self.tiles: Histogram | None = None
        if regions := tuple(regions):
            self.encode = histogram(f"{prefix}_encode_seconds", "From outputs to a request's answer", buckets=SECONDS)
            self.tiles = histogram(f"{prefix}_image_tiles", "Tiles of an image that was cut", buckets=_TILES)
            found = counter(f"{prefix}_regions", "Regions found, by name", ["label"])
            self._regions = {label: found.labels(label) for label in regions}

    def refused(self, reason: str) -> None:
        """Count a refused request."""
        self._refusals[reason].inc()

    def batch_done(self, num_images: int, num_requests: int, seconds: float) -> None:
        """Count a batch; the `on_batch` of a `Batcher`."""
        self.batch_images.observe(num_images)
        self.batch_requests.observe(num_requests)
        self.inference.observe(seconds)

    def cut(self, num_tiles: Iterable[int]) -> None:
        """Count the tiles of images that were cut."""
        if self.tiles:
            for number in num_tiles:
                self.tiles.observe(number)

    def filtered(self, predictions: Sequence[Prediction]) -> None:
        """Count what the filters made of a request's answers."""
        self._abstentions.inc(sum(prediction.abstained for prediction in predictions))

    def predicted(self, answers: Sequence[Prediction | None]) -> None:
        """Count images by what the model said, if anything, before any filter."""
        for answer in answers:
            if answer is not None:
                self._predictions[answer.label].inc()
                self.confidence.observe(answer.probability)
                for region in answer.regions if isinstance(answer, Segmentation) else ():
                    self._regions[region.label].inc()


@cache
def service_metrics(
    classes: tuple[str, ...], reasons: tuple[str, ...], prefix: str = "vision", regions: tuple[str, ...] = ()
) -> ServiceMetrics:
    """Return this process's metrics: Prometheus refuses the same names twice, and a test may start a service twice."""
    read_unfinished_files_as_empty()
    return ServiceMetrics(classes, reasons, prefix=prefix, regions=regions)
