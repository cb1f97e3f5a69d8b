"""Paths to rows: files are read, decoded and scored by a few threads, each a chunk at a time.

A chunk stays in one thread from file to answer, so that what is in memory is bounded by the number of threads: at most
`2 * num_workers` chunks of pixels and of rows, and `num_workers` of a network's maps, whatever the length of the list.
Decoding and the ONNX session run outside Python's lock, making outlines mostly inside: docs/SLURM.md has what follows.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np

from runtime.answers.filters import FilterChain, FilterError
from runtime.answers.refusals import RequestErrorCode, RequestRefused
from runtime.answers.results import ANSWERS, NOT_FINITE, ModelIdentity, Prediction
from runtime.model.contract import ContractError
from runtime.model.cores import usable_cores
from runtime.model.devices import DeviceError
from runtime.model.errors import ImageError
from runtime.model.image import ImageArray
from runtime.model.preprocess import Placement, read_placed
from runtime.model.session import Predictor
from scoring.data_mount import refuse_unless_of_the_file
from scoring.pictures import ScoringError
from scoring.plan import refuse_filters_of_pixels
from scoring.rows import Row

# A chunk is also what a thread reads and decodes between two calls of the session, so it is larger than the service's
# batch on a CPU, where nobody waits for the first answer.
CPU_BATCH_SIZE, GPU_BATCH_SIZE = 8, 64
MAX_FILE_BYTES = 256 * 2**20  # far above any picture; a stray archive must not fill the memory
UNREADABLE, TOO_LARGE = "unreadable_file", "file_too_large"
# What a user of a command that scores can cause and mend.
KNOWN_ERRORS = (ScoringError, ContractError, DeviceError, FilterError, OSError)

Placed = tuple[ImageArray, Placement]


@dataclass(frozen=True)
class Scorer:
    """One model with its filters, ready for any number of pictures. batch_size: pictures a chunk."""

    predictor: Predictor
    filters: FilterChain
    identity: ModelIdentity
    batch_size: int
    num_workers: int

    @classmethod
    def of(cls, predictor: Predictor, version: str, batch_size: int = 0, num_workers: int = 0) -> Self:
        """Make a scorer; 0 chooses. version: of the model, for the records.

        On a CPU there is one worker a core and one more, which covers waiting for the disk. Raises FilterError, and
        ScoringError for filters that look at pixels.
        """
        identity = ModelIdentity(name=predictor.contract.name, version=version, sha256=predictor.sha256)
        default = CPU_BATCH_SIZE if predictor.device == "cpu" else GPU_BATCH_SIZE
        refuse_filters_of_pixels(version, predictor.contract)
        filters = FilterChain.load(predictor.contract)
        return cls(predictor, filters, identity, batch_size or default, num_workers or usable_cores() + 1)

    def score(self, root: Path, paths: Iterable[str]) -> Iterator[Row]:
        """Yield exactly one row a path, in order. A picture that cannot be read is a row with its error.

        Raises ScoringError where it may be this node that cannot read it.
        """
        chunks = _chunks(paths, self.batch_size)
        pending: deque[Future[list[Row]]] = deque()
        with ThreadPoolExecutor(self.num_workers, "score") as pool:
            try:
                for chunk in chunks:
                    pending.append(pool.submit(self._score_chunk, root, chunk))
                    if len(pending) >= 2 * self.num_workers:
                        yield from pending.popleft().result()
                while pending:
                    yield from pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _score_chunk(self, root: Path, paths: list[str]) -> list[Row]:
        read = [self._read(root / path, path) for path in paths]
        placed = [item for item in read if not isinstance(item, Row)]
        scored = iter(self._answer(placed) if placed else [])
        good = iter(path for path, item in zip(paths, read, strict=True) if not isinstance(item, Row))
        return [item if isinstance(item, Row) else self._filter(next(good), next(scored)) for item in read]

    def _read(self, file: Path, path: str) -> Placed | Row:
        try:
            if not file.is_file() and file.exists():
                return Row(path, error=UNREADABLE, message="Not a regular file")  # opening a pipe would wait for ever
            with file.open("rb") as stream:
                data = stream.read(MAX_FILE_BYTES + 1)
        except ValueError as exc:  # a name with a zero byte
            return Row(path, error=UNREADABLE, message=str(exc))
        except OSError as exc:
            refuse_unless_of_the_file(exc, file)
            return Row(path, error=UNREADABLE, message=exc.strerror)
        if len(data) > MAX_FILE_BYTES:
            return Row(path, error=TOO_LARGE, message=f"the file has more than {MAX_FILE_BYTES} bytes")
        try:
            return read_placed(data, self.predictor.contract)
        except ImageError as exc:
            return Row(path, error=str(exc.code), message=str(exc))

    def _answer(self, placed: Sequence[Placed]) -> Sequence[Prediction | None]:
        images, places = zip(*placed, strict=True)
        contract = self.predictor.contract
        return ANSWERS[contract.task](self.predictor.predict(np.stack(images)), places, contract, self.identity)

    def _filter(self, path: str, answer: Prediction | None) -> Row:
        if answer is None:
            return Row(path, error=RequestErrorCode.MODEL_OUTPUT_INVALID.value, message=NOT_FINITE)
        try:
            return Row(path, prediction=self.filters.apply([answer])[0])
        except RequestRefused as refusal:
            return Row(path, error=refusal.code.value, message=str(refusal))


def _chunks(paths: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(paths)
    while chunk := list(islice(rest, size)):
        yield chunk
