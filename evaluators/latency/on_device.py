"""Measures a folder of exported stages on this device, and writes a price list. Needs Python 3.9, numpy and
onnxruntime 1.18, or coremltools on a Mac; nothing else. `mdsearch latency stages` puts a copy beside them.

    pip install numpy onnxruntime
    python measure.py --runtime onnx --threads 4 --device "Jetson Orin Nano" --out jetson.json
    python measure.py --runtime coreml --device "MacBook Air M3" --out m3.json

Interrupted, the same line goes on where it was. The list is for where mdsearch is:

    mdsearch search budget.latency_ms=300 budget.prices=jetson.json
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

STAGES_FILE = "stages.json"
LEAST_ROUNDS, MOST_ROUNDS = 5, 51
STEADY = 0.05  # how far rounds may lie around their mean, as a share of it
_Clock = Callable[[], float]
Call = Callable[[int], Any]
PROVIDERS = {
    "onnx": ["CPUExecutionProvider"],
    "onnx_cuda": ["CUDAExecutionProvider"],
    "onnx_tensorrt": ["TensorrtExecutionProvider", "CUDAExecutionProvider"],
    "onnx_xnnpack": ["XnnpackExecutionProvider"],
    "onnx_nnapi": ["NnapiExecutionProvider"],
}


class StageFails(Exception):
    """One that does not load or run here, in words."""


def main(words: list[str] | None = None, clock: _Clock = time.perf_counter) -> int:
    options = _options(words)
    folder, out = Path(options.stages), Path(options.out)
    try:
        text = (folder / STAGES_FILE).read_bytes()
        stages = json.loads(text)
    except (OSError, ValueError) as error:
        return _refuse(f"--stages: {folder} is no folder of exported stages: {error}")
    refused = _refused(options, stages, out)
    if refused:
        return _refuse(refused)
    try:
        runner, versions = runtime_of(options)
    except ImportError as error:
        return _refuse(f"--runtime: {options.runtime} needs a package that is not here: {error}")
    except ValueError as error:
        return _refuse(f"--runtime: {error}")
    about = {
        "device": options.device,
        "runtime": options.runtime,
        "versions": {**stages["versions"], **versions},
        "precision": stages["precision"],
        "threads": options.threads,
        "space": stages["space"],
    }
    if "note" in stages:
        print(stages["note"], flush=True)
    journal = Path(f"{out}.begun")
    try:
        found = _begun(journal, {**about, "stages": hashlib.sha256(text).hexdigest()})
        entries, whole = _measured(stages, folder, journal, found, runner, options.seconds, clock)
    except StageFails as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"--out: {journal} cannot be written: {error}")
    plain = {"form": stages["form"], **about, "date": datetime.date.today().isoformat()}
    plain = {**plain, "whole": whole, "entries": entries}
    partial = Path(f"{out}.writing")
    partial.write_text(json.dumps(plain, indent=1), encoding="utf-8")
    os.replace(partial, out)
    journal.unlink()
    print(_steadiness([*entries, *whole]))
    print(f"wrote {out}: {len(entries)} entries, {len(whole)} whole networks, which calibrate the sums")
    return 0


def _options(words: list[str] | None) -> Any:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stages", default=str(Path(__file__).resolve().parent), help="the exported folder")
    parser.add_argument("--runtime", choices=[*PROVIDERS, "coreml"], default="onnx")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0: the runtime's choice")
    parser.add_argument("--device", default=_device(), help="as reports name it; here %(default)r")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each entry")
    parser.add_argument("--out", required=True, help="a new .json file")
    return parser.parse_args(words)


def _device() -> str:
    """Of a board its model; many phones and Macs say no more than the kind of their processor."""
    try:
        board = Path("/proc/device-tree/model").read_text(encoding="utf-8").strip("\0\n ")
    except (OSError, ValueError):
        board = ""
    return board or platform.processor() or platform.machine()


def _refused(options: Any, stages: Any, out: Path) -> str:
    """What cannot work, in a line; empty where all can."""
    if (options.runtime == "coreml") != (stages["to"] == "coreml"):
        return f"--runtime: {options.runtime} does not run stages exported to {stages['to']}"
    if options.threads < 0:
        return f"--threads: {options.threads} is not possible; allowed: 0 or more"
    if not 0 <= options.seconds < 1e6:
        return f"--seconds: {options.seconds:g} is no time; allowed: 0 or more"
    if not options.device:
        return "--device: empty; allowed: a name of this device"
    if out.exists():
        return f"--out: {out} is there; choose a new file"
    if not out.resolve().parent.is_dir():
        return f"--out: {out.parent} is no folder; choose a file in one that is there"
    return ""


def _refuse(text: str) -> int:
    print(text, file=sys.stderr)
    return 2


def runtime_of(options: Any) -> tuple[Callable[[Path, Any], Call], dict[str, str]]:
    """What makes a call that runs a file, and the runtime's version. Raises ImportError, ValueError."""
    if options.runtime == "coreml":
        import coremltools

        return lambda file, inputs: _coreml_call(coremltools, file, inputs), {
            "coremltools": coremltools.__version__
        }
    import onnxruntime

    wanted = PROVIDERS[options.runtime]
    if wanted[0] not in onnxruntime.get_available_providers():
        raise ValueError(
            f"{wanted[0]} is not in this onnxruntime; it has {onnxruntime.get_available_providers()}"
        )
    versions = {"onnxruntime": onnxruntime.__version__}
    return lambda file, inputs: _onnx_call(onnxruntime, file, inputs, options.threads, wanted), versions


def _onnx_call(onnxruntime: Any, file: Path, inputs: Any, threads: int, providers: list[str]) -> Call:
    """Raises ValueError where another provider would run in the place of the one that is meant."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")  # other chains run in between
    session = onnxruntime.InferenceSession(str(file), options, providers=providers)
    session.disable_fallback()
    if providers[0] not in session.get_providers():
        instead = session.get_providers()[0]
        raise ValueError(f"{providers[0]} does not start, and {instead} would run in its place")
    rows = _taken(inputs, {item.name for item in session.get_inputs()})
    return lambda number: session.run(None, rows[number % len(rows)])


def _coreml_call(coremltools: Any, file: Path, inputs: Any) -> Call:
    model = coremltools.models.MLModel(str(file), compute_units=coremltools.ComputeUnit.ALL)
    rows = _taken(inputs, {item.name for item in model.get_spec().description.input})
    return lambda number: model.predict(rows[number % len(rows)])


def _taken(inputs: Any, names: set[str]) -> list[dict[str, Any]]:
    """Those that a file has: a converter may leave out what nothing depends on."""
    return [{name: value for name, value in one.items() if name in names} for one in inputs]


def _begun(journal: Path, about: Any) -> dict[int, Any]:
    """What was measured before, by number; a last line that was written half is cut off. Raises StageFails
    for a journal of another measurement."""
    data = journal.read_bytes() if journal.exists() else b""
    whole = data[: data.rfind(b"\n") + 1]
    try:
        lines = [json.loads(line) for line in whole.splitlines()]
        found = {line["of"]: line["entry"] for line in lines[1:]}
    except (ValueError, KeyError, TypeError):
        raise StageFails(f"{journal}: cannot be read as a begun measurement; remove it") from None
    if lines and lines[0] != about:
        raise StageFails(f"{journal}: is of another measurement; finish that, or remove the file")
    if whole != data:
        os.truncate(journal, len(whole))
    if not lines:
        _append(journal, about)
    return found


def _append(journal: Path, line: Any) -> None:
    with journal.open("ab") as file:
        file.write(json.dumps(line).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _measured(
    stages: Any,
    folder: Path,
    journal: Path,
    found: dict[int, Any],
    runner: Any,
    seconds: float,
    clock: _Clock,
) -> tuple[list[Any], list[Any]]:
    """Entries and whole networks in the list's form, but for those that were found before."""
    parts, networks = stages["entries"], stages["whole"]
    each: list[tuple[Any, Any, Any]] = [(entry["part"], _timed, entry) for entry in parts]
    each += [({"architecture": one["architecture"]}, _timed_whole, one) for one in networks]
    for number, (about_it, timed, one) in enumerate(each):
        if number not in found:
            try:
                found[number] = {**about_it, **timed(one, stages, folder, runner, seconds, clock)}
            except Exception as error:
                line = str(error).strip().partition("\n")[0] or type(error).__name__
                raise StageFails(f"{json.dumps(about_it)[:200]}: does not run here: {line}") from error
            _append(journal, {"of": number, "entry": found[number]})
        print(f"{number + 1} of {len(each)}: {found[number]['mean_ms']:.3f} ms", flush=True)
    ordered = [found[number] for number in range(len(each))]
    return ordered[: len(parts)], ordered[len(parts) :]


def _timed(
    entry: Any, stages: Any, folder: Path, runner: Any, seconds: float, clock: _Clock
) -> dict[str, Any]:
    """A part's time: chains that differ by so many of it, in turns, and their differences round by round."""
    more, fewer = (_call(stages["chains"][entry[name]], folder, runner) for name in ("more", "fewer"))
    for number in range(2):
        warm = _ms(more, number, clock) + _ms(fewer, number, clock)
    rounds, each = _rounds(seconds, warm), []
    for number in range(rounds):
        pair = (more, fewer) if number % 2 == 0 else (fewer, more)
        times = {call: _ms(call, number, clock) for call in pair}
        each.append((times[more] - times[fewer]) / entry["times"])
    mean, spread = _middle(each)
    return {"count": rounds, "mean_ms": max(0.0, mean), "spread_ms": spread}


def _timed_whole(
    one: Any, stages: Any, folder: Path, runner: Any, seconds: float, clock: _Clock
) -> dict[str, Any]:
    """A network as it is used."""
    call = _call(one, folder, runner)
    for number in range(2):
        warm = _ms(call, number, clock)
    rounds = _rounds(2 * seconds, warm)
    mean, spread = _middle([_ms(call, number, clock) for number in range(rounds)])
    return {"count": rounds, "mean_ms": mean, "spread_ms": spread}


def _rounds(seconds: float, one_round_ms: float) -> int:
    return min(MOST_ROUNDS, max(LEAST_ROUNDS, round(1e3 * seconds / max(one_round_ms, 1e-6))))


def _middle(times: list[float]) -> tuple[float, float]:
    """Mean and standard deviation of the middle half: what disturbed some of the others is not in it."""
    ordered, cut = sorted(times), len(times) // 4
    middle = ordered[cut : len(ordered) - cut]
    return statistics.fmean(middle), statistics.pstdev(middle)


def _steadiness(measured: list[Any]) -> str:
    """Whether the device was quiet enough to believe the list."""
    shares = [one["spread_ms"] / one["mean_ms"] for one in measured if one["mean_ms"] > 0]
    share = statistics.median(shares) if shares else 0.0
    said = f"rounds lie {share:.1%} around their mean, the median of all"
    if share <= STEADY:
        return f"quiet enough: {said}"
    return f"NOT quiet: {said}; measure again when nothing else runs, and the device is cool"


def _call(chain: Any, folder: Path, runner: Any) -> Call:
    chance = np.random.default_rng(0)
    inputs = [
        {name: chance.standard_normal(shape, dtype=np.float32) for name, shape in chain["inputs"].items()}
        for _ in range(2)
    ]
    return runner(folder / chain["file"], inputs)


def _ms(call: Call, number: int, clock: _Clock) -> float:
    start = clock()
    call(number)
    return 1e3 * (clock() - start)


if __name__ == "__main__":
    sys.exit(main())
