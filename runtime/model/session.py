"""Batches to outputs: the ONNX graph behind its contract, for the service, parity checks and benchmarks alike."""

import itertools
import logging
import os
import queue
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from runtime.model.contract import (
    CONTRACT_FILE,
    CONTRACT_KEY,
    IMAGES,
    ONNX_FILE,
    ContractError,
    ModelContract,
    Outputs,
    parse_contract,
    read_contract,
)
from runtime.model.cores import share_cores, usable_cores
from runtime.model.devices import Device, DeviceError, visible_cuda_devices
from runtime.model.hashing import file_sha256
from runtime.model.image import ImageArray

# Since 1.29 ONNX Runtime's builds for Linux report models and sessions to its makers (microsoft/onnxruntime#27379).
# This switch counts only if it is set before the library is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

logger = logging.getLogger("vision.session")

_TENSORS = {"float32": "tensor(float)", "uint8": "tensor(uint8)"}  # ONNX Runtime's names
_ERRORS_ONLY = 3  # ONNX Runtime's severity; warnings about unassigned nodes are of no use to an operator


@dataclass(frozen=True)
class Predictor:
    """A loaded model that agrees with its contract, in one session or in several that run side by side.

    `sha256` is of the ONNX file. `predict` may be called from any number of threads at once; `len(sessions)` of them
    compute, the others wait.
    """

    contract: ModelContract
    sha256: str
    device: Device
    sessions: tuple[ort.InferenceSession, ...]
    # Last in, first out: under light load one session, warm in its core's cache, does all the work.
    _free: "queue.LifoQueue[ort.InferenceSession]" = field(default_factory=queue.LifoQueue, init=False)

    @classmethod
    def load(
        cls, model_dir: Path, device: Device = "auto", threads: int = 0, sessions: int = 1, device_index: int = 0,
        spins: bool = False,
    ) -> Self:  # fmt: skip
        """Load `model.onnx` and `contract.json` from `model_dir`.

        sessions: how many batches may run at once; 0 for one for every `threads` cores (one thread if that is 0 too)
        on a CPU and one on a GPU. threads: of one inference on a CPU, 0 for the session's share of the cores.
        device_index: which of the CUDA devices that this process may use. spins: whether threads of an inference stay
        awake while they wait for each other, which answers one request sooner and burns cores that others want.
        Raises ContractError if a file is missing or broken or the two disagree, DeviceError if `device` is "cuda"
        and no CUDA device can be used.
        """
        contract = read_contract(model_dir / CONTRACT_FILE)
        onnx_path = model_dir / ONNX_FILE
        try:
            onnx_sha256 = file_sha256(onnx_path)
        except OSError as exc:
            raise ContractError(f"cannot read the model {onnx_path}: {exc.strerror}") from exc
        num_sessions, threads = share_cores(usable_cores(), sessions, threads)
        first = _open(onnx_path, device, threads, device_index, spins)
        _check_metadata(first, contract, onnx_path)
        _check_shapes(first, contract, onnx_path)
        used: Device = "cuda" if first.get_providers()[0] == "CUDAExecutionProvider" else "cpu"
        if used == "cuda":
            num_sessions = sessions or 1
        others = (_open(onnx_path, used, threads, device_index, spins) for _ in range(num_sessions - 1))
        return cls(contract, onnx_sha256, used, (first, *others))

    def __post_init__(self) -> None:
        for session in self.sessions:
            self._free.put(session)

    def predict(self, images_nhwc: ImageArray) -> Outputs:
        """Run the graph.

        images_nhwc: `(N, contract.height, contract.width, 3)` uint8 with N >= 1.
        Returns what `contract.outputs` names, each `(N, ...)` of its type. Raises ValueError on another shape or type.
        """
        expected = (self.contract.height, self.contract.width, 3)
        if images_nhwc.dtype != np.uint8 or images_nhwc.ndim != 4 or images_nhwc.shape[1:] != expected:
            raise ValueError(
                f"expected (N, {', '.join(map(str, expected))}) uint8, got {images_nhwc.shape} {images_nhwc.dtype}"
            )
        session = self._free.get()
        try:
            return self._run(session, images_nhwc)
        finally:
            self._free.put(session)

    def warm_up(self) -> None:
        """Run batches of 1 and 2 in every session: no request pays for first-time work, a dead graph is found at start.

        Raises ContractError if what comes out is not what the contract says.
        """
        for session, num_images in itertools.product(self.sessions, (1, 2)):
            images = np.zeros((num_images, self.contract.height, self.contract.width, 3), np.uint8)
            outputs = self._run(session, images)
            expected = {name: (num_images, *spec.shape) for name, spec in self.contract.outputs.items()}
            got = {name: output.shape for name, output in outputs.items()}
            if got != expected:
                raise ContractError(f"expected outputs of shapes {expected}, got {got}")
            self.contract.check_outputs(outputs)

    def _run(self, session: ort.InferenceSession, images_nhwc: ImageArray) -> Outputs:
        names = list(self.contract.outputs)
        return dict(zip(names, session.run(names, {IMAGES: images_nhwc}), strict=True))


def providers_of(device_index: int | None) -> list[tuple[str, dict[str, str]]]:
    """Return ONNX Runtime's providers in order of preference; `device_index` is of a CUDA device, None for the CPU."""
    cuda = [] if device_index is None else [("CUDAExecutionProvider", {"device_id": str(device_index)})]
    return [*cuda, ("CPUExecutionProvider", {})]


def _open(onnx_path: Path, device: Device, threads: int, device_index: int, spins: bool) -> ort.InferenceSession:
    options = _options(threads, spins)
    can_cuda = "CUDAExecutionProvider" in ort.get_available_providers()
    # The driver is asked before ONNX Runtime, which prints errors where there is no device.
    has_cuda = device != "cpu" and can_cuda and visible_cuda_devices() > 0
    if device == "cuda" and not has_cuda:
        raise DeviceError("VISION_DEVICE=cuda, but no CUDA device can be used; take VISION_DEVICE=auto or cpu")
    providers = providers_of(device_index if has_cuda else None)
    try:
        if has_cuda:
            ort.preload_dlls()  # finds CUDA libraries that came as Python packages
        session = ort.InferenceSession(onnx_path.read_bytes(), options, providers=providers)
    except Exception as exc:  # onnxruntime's errors share no public base
        raise ContractError(f"{onnx_path} cannot be loaded as an ONNX model: {exc}") from exc
    if has_cuda and session.get_providers()[0] != "CUDAExecutionProvider":
        if device == "cuda":
            raise DeviceError("VISION_DEVICE=cuda, but ONNX Runtime cannot load its CUDA libraries (see its log)")
        logger.warning("a CUDA device is present, but ONNX Runtime cannot use it; running on the CPU")
    return session


def open_on_one_core(onnx_file: bytes) -> ort.InferenceSession:
    """Load a graph that has no contract, for one thread of the CPU. Raises ONNX Runtime's errors."""
    return ort.InferenceSession(onnx_file, _options(1, spins=False), providers=["CPUExecutionProvider"])


def _options(threads: int, spins: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spins)))
    return options


def _check_metadata(session: ort.InferenceSession, contract: ModelContract, onnx_path: Path) -> None:
    metadata = session.get_modelmeta().custom_metadata_map
    if CONTRACT_KEY not in metadata:
        raise ContractError(f"{onnx_path} has no metadata '{CONTRACT_KEY}'; export it again with `make export`")
    inside = parse_contract(metadata[CONTRACT_KEY], f"metadata '{CONTRACT_KEY}' of {onnx_path}").model_dump()
    stated = contract.model_dump()
    differences = [
        f"{field} is {stated.get(field)!r} in {CONTRACT_FILE} but {inside.get(field)!r} in {ONNX_FILE}"
        for field in dict.fromkeys([*stated, *inside])
        if stated.get(field) != inside.get(field)
    ]
    if differences:
        raise ContractError(f"the model in {onnx_path.parent} disagrees with its contract: {'; '.join(differences)}")


def _check_shapes(session: ort.InferenceSession, contract: ModelContract, onnx_path: Path) -> None:
    inputs = {value.name: value for value in session.get_inputs()}
    outputs = {value.name: value for value in session.get_outputs()}
    for what, found, wanted in (("inputs", inputs, {IMAGES}), ("outputs", outputs, set(contract.outputs))):
        if set(found) != wanted:
            raise ContractError(f"{onnx_path} has {what} {sorted(found)}, expected {sorted(wanted)}")
    images = inputs[IMAGES]
    _check_tensor(images, "tensor(uint8)", [contract.height, contract.width, 3], onnx_path)
    for name, spec in contract.outputs.items():
        _check_tensor(outputs[name], _TENSORS[spec.dtype], list(spec.shape), onnx_path)


def _check_tensor(value: ort.NodeArg, expected_type: str, expected_tail: list[int], onnx_path: Path) -> None:
    """Compare type and shape; the first dimension is the batch and must not be fixed."""
    if value.type != expected_type or list(value.shape[1:]) != expected_tail or isinstance(value.shape[0], int):
        raise ContractError(
            f"{onnx_path}: '{value.name}' is {value.type} {value.shape}, "
            f"but the contract says {expected_type} {['batch', *expected_tail]}"
        )
