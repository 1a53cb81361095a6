"""The ways a module runs here: eager, compiled, a replayed CUDA graph, ONNX Runtime in fp32 and int8."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from evaluators.latency.timing import TimedRun
from space.shared.compiling import missing_to_compile, with_own_code
from space.shared.cpus import available_cpus
from space.shared.plain import InputError, entry_of

Runtime = Literal["eager", "compiled", "onnx", "onnx_int8", "graph"]
Inputs = Sequence[Mapping[str, Tensor]]
"""What rotates: by name, in the order of the module's arguments."""
EXPORTED_BYTES_PER_PARAMETER = 10  # in fp32, with what the exporter writes beside
OUTPUT = "out"
RUNTIMES_OF: Mapping[str, tuple[Runtime, ...]] = {
    "cpu": ("eager", "compiled", "onnx", "onnx_int8"),
    "cuda": ("eager", "compiled", "graph"),
}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Place:
    """Where something runs: device, threads of the CPU, precision of torch's runtimes."""

    device: str = "cpu"
    threads: int = 1
    precision: str = "fp32"

    def __post_init__(self) -> None:
        entry_of(DTYPES, self.precision, "precision")
        if self.device not in ("cpu", "cuda"):
            raise InputError(f"device: {self.device!r} is no choice here; allowed: cpu, cuda")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise InputError("device: no CUDA device is here; allowed: cpu")
        if self.threads < 1:
            raise InputError(f"threads: {self.threads} is too few; allowed: 1 or more")

    def check(self, runtime: str) -> None:
        """Raises InputError for a runtime that does not run here."""
        entry_of(RUNTIMES, runtime, "runtime")
        if runtime == "graph" and self.device != "cuda":
            raise InputError(f"runtime: graph replays on a GPU, and device is {self.device}; allowed: eager")
        if runtime.startswith("onnx") and (self.device, self.precision) != ("cpu", "fp32"):
            raise InputError(
                f"runtime: {runtime} is measured on the CPU in fp32 here, not on {self.device} in "
                f"{self.precision}; allowed: eager, compiled, graph"
            )
        if runtime == "compiled" and (missing := missing_to_compile(self.device)):
            raise InputError(f"runtime: compiled needs {missing}, which is not here; allowed: eager")

    def name(self) -> str:
        """Of the device, as people call it."""
        if self.device == "cuda":
            return torch.cuda.get_device_name()
        cpus = available_cpus()
        return f"{processor_name()}, {cpus} CPU{'s' if cpus > 1 else ''}"


def places_here() -> dict[str, Place]:
    """The devices of this machine, by the names that price lists give them."""
    places = [Place()] + ([Place("cuda")] if torch.cuda.is_available() else [])
    return {place.name(): place for place in places}


def runtimes_here(place: Place) -> tuple[tuple[Runtime, ...], list[str]]:
    """Those that a place has, and a line for each that it could have and lacks here."""
    found: list[Runtime] = []
    lacking = []
    for runtime in RUNTIMES_OF[place.device]:
        try:
            place.check(runtime)
            found.append(runtime)
        except InputError as error:
            lacking.append(f"left out: {str(error).removeprefix('runtime: ')}")
    return tuple(found), lacking


def runner(module: nn.Module, inputs: Inputs, runtime: str, place: Place, folder: Path) -> TimedRun:
    """A module ready to be timed. `folder` is where an exported file goes.

    Raises:
        InputError: a runtime that does not run here.
    """
    place.check(runtime)
    torch.set_num_threads(place.threads)
    return RUNTIMES[runtime](module.eval().requires_grad_(False), inputs, place, folder)


def versions_of(runtime: str) -> dict[str, str]:
    found = {"torch": str(torch.__version__), "python": platform.python_version()}
    if runtime.startswith("onnx"):
        import onnxruntime

        found["onnxruntime"] = onnxruntime.__version__
    return found


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def processor_name(text_of: Callable[[str], str] = _text) -> str:
    """Its model; where the system does not say it, that of the board, or the numbers of its cores."""
    lines = [line.partition(":") for line in text_of("/proc/cpuinfo").splitlines()]
    fields = {name.strip(): value.strip() for name, _, value in reversed(lines)}  # of the first core
    cores = " ".join(fields[name] for name in ("CPU implementer", "CPU part") if name in fields)
    return (
        fields.get("model name")
        or text_of("/proc/device-tree/model").strip("\0\n ")
        or _brand()
        or f"{platform.processor() or platform.machine()} {cores}".strip()
    )


def _brand() -> str:
    """Of a Mac's processor, such as Apple M3."""
    if sys.platform != "darwin":
        return ""
    asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


# ---------------------------------------------------------------------- PyTorch


def _eager(module: nn.Module, inputs: Inputs, place: Place, folder: Path) -> TimedRun:
    return _of_torch(*_moved(module, inputs, place), place)


def _compiled(module: nn.Module, inputs: Inputs, place: Place, folder: Path) -> TimedRun:
    module, moved = _moved(module, inputs, place)

    def call(*inputs: Tensor) -> Any:
        return module(*inputs)

    return _of_torch(torch.compile(with_own_code(call), dynamic=False), moved, place)


def _moved(module: nn.Module, inputs: Inputs, place: Place) -> tuple[nn.Module, list[tuple[Tensor, ...]]]:
    dtype = DTYPES[place.precision]

    def moved(tensor: Tensor) -> Tensor:
        return tensor.to(place.device, dtype if tensor.is_floating_point() else None)

    return module.to(place.device, dtype), [tuple(map(moved, one.values())) for one in inputs]


def _of_torch(call: Callable[..., Any], inputs: Sequence[tuple[Tensor, ...]], place: Place) -> TimedRun:
    def run(number: int) -> float | None:
        with torch.inference_mode():
            return timed(lambda: call(*inputs[number % len(inputs)]))

    timed = _by_events if place.device == "cuda" else _untimed
    return run


def _untimed(call: Callable[[], Any]) -> None:
    call()


def _by_events(call: Callable[[], Any]) -> float:
    """ms between two events on the GPU's own clock."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    call()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))


def _graph(module: nn.Module, inputs: Inputs, place: Place, folder: Path) -> TimedRun:
    """Recorded once, replayed: no operator is launched by Python. Inputs are copied into the graph's own."""
    module, moved = _moved(module, inputs, place)
    own = tuple(tensor.clone() for tensor in moved[0])
    with torch.inference_mode():
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                module(*own)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            module(*own)

    def run(number: int) -> float:
        for held, given in zip(own, moved[number % len(moved)], strict=True):
            held.copy_(given)
        return _by_events(graph.replay)

    return run


# ---------------------------------------------------------------------- ONNX Runtime


def _onnx(module: nn.Module, inputs: Inputs, place: Place, folder: Path) -> TimedRun:
    return _session_run(_exported(module, inputs, folder), inputs, place)


def _onnx_int8(module: nn.Module, inputs: Inputs, place: Place, folder: Path) -> TimedRun:
    from space.interchange.onnx_files import weight_only_int8

    file = _exported(module, inputs, folder)
    weight_only_int8(file, file.with_suffix(".int8.onnx"))
    return _session_run(file.with_suffix(".int8.onnx"), inputs, place)


def _exported(module: nn.Module, inputs: Inputs, folder: Path) -> Path:
    """Of fixed shapes, as a device gets it; one file a folder serves both precisions."""
    from space.interchange.onnx_files import write_onnx

    file = folder / "module.onnx"
    if not file.is_file():
        write_onnx(module, inputs[0], [OUTPUT], file)
    return file


def _session_run(file: Path, inputs: Inputs, place: Place) -> TimedRun:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = place.threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")  # others are timed in between
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    used = {item.name for item in session.get_inputs()}
    arrays = [{name: value.numpy() for name, value in one.items() if name in used} for one in inputs]

    def run(number: int) -> None:
        session.run(None, arrays[number % len(arrays)])

    return run


RUNTIMES: Mapping[str, Callable[[nn.Module, Inputs, Place, Path], TimedRun]] = {
    "eager": _eager,
    "compiled": _compiled,
    "onnx": _onnx,
    "onnx_int8": _onnx_int8,
    "graph": _graph,
}
