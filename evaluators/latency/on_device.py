"""Measures a folder of exported stages on this device, and writes a price list. Needs Python 3.9, numpy and
onnxruntime or, on a Mac, coremltools; nothing else. `mdsearch latency stages` puts a copy beside the stages.

    python measure.py --runtime onnx --threads 4 --device "Jetson Orin Nano" --out jetson.json
    python measure.py --runtime coreml --device "MacBook Air M3" --out m3.json

Interrupted, the same line goes on where it was.
"""

from __future__ import annotations

import argparse
import datetime
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
_Clock = Callable[[], float]
Call = Callable[[int], Any]
PROVIDERS = {
    "onnx": ["CPUExecutionProvider"],
    "onnx_cuda": ["CUDAExecutionProvider"],
    "onnx_tensorrt": ["TensorrtExecutionProvider"],
    "onnx_xnnpack": ["XnnpackExecutionProvider"],
    "onnx_nnapi": ["NnapiExecutionProvider"],
}


class StageFails(Exception):
    """One that does not load or run here, in words."""


def main(words: list[str] | None = None, clock: _Clock = time.perf_counter) -> int:
    options = _options(words)
    folder = Path(options.stages)
    try:
        stages = json.loads((folder / STAGES_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return _refuse(f"{folder}: no folder of exported stages: {error}")
    if (options.runtime == "coreml") != (stages["to"] == "coreml"):
        return _refuse(f"--runtime: {options.runtime} does not run stages exported to {stages['to']}")
    out = Path(options.out)
    if out.exists():
        return _refuse(f"--out: {out} is there; choose a new file")
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
    try:
        measured = _measured(stages, folder, Path(f"{out}.begun"), about, runner, options.seconds, clock)
    except StageFails as error:
        return _refuse(str(error))
    if measured is None:
        return 2
    entries, whole = measured
    plain = {"form": stages["form"], **about, "date": datetime.date.today().isoformat()}
    plain = {**plain, "whole": whole, "entries": entries}
    partial = Path(f"{out}.writing")
    partial.write_text(json.dumps(plain, indent=1), encoding="utf-8")
    os.replace(partial, out)
    Path(f"{out}.begun").unlink()
    print(f"wrote {out}: {len(entries)} entries, {len(whole)} whole networks, which calibrate the sums")
    return 0


def _options(words: list[str] | None) -> Any:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stages", default=str(Path(__file__).resolve().parent), help="the exported folder")
    parser.add_argument("--runtime", choices=[*PROVIDERS, "coreml"], default="onnx")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0: the runtime's choice")
    parser.add_argument(
        "--device", default=platform.processor() or platform.machine(), help="as reports name it"
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="for each entry")
    parser.add_argument("--out", required=True, help="a new .json file")
    return parser.parse_args(words)


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
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=providers)
    return lambda number: session.run(None, inputs[number % len(inputs)])


def _coreml_call(coremltools: Any, file: Path, inputs: Any) -> Call:
    model = coremltools.models.MLModel(str(file), compute_units=coremltools.ComputeUnit.ALL)
    return lambda number: model.predict(inputs[number % len(inputs)])


def _measured(
    stages: Any, folder: Path, journal: Path, about: Any, runner: Any, seconds: float, clock: _Clock
) -> tuple[list[Any], list[Any]] | None:
    """Entries and whole networks in the list's form; None, said in a line, where `journal` is of another
    measurement."""
    lines = []
    if journal.exists():
        text = journal.read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    if lines and lines[0] != about:
        _refuse(f"{journal}: is of another measurement; finish or remove it")
        return None
    found = {line["of"]: line["entry"] for line in lines[1:]}
    parts, networks = stages["entries"], stages["whole"]
    each: list[tuple[Any, Any, Any]] = [(entry["part"], _timed, entry) for entry in parts]
    each += [({"architecture": one["architecture"]}, _timed_whole, one) for one in networks]
    with journal.open("w", encoding="utf-8") as file:
        for line in [about, *({"of": of, "entry": entry} for of, entry in found.items())]:
            file.write(json.dumps(line) + "\n")
        for number, (about_it, timed, one) in enumerate(each):
            if number not in found:
                try:
                    found[number] = {**about_it, **timed(one, stages, folder, runner, seconds, clock)}
                except Exception as error:
                    line = str(error).strip().partition("\n")[0] or type(error).__name__
                    raise StageFails(f"{json.dumps(about_it)[:200]}: does not run here: {line}") from error
                file.write(json.dumps({"of": number, "entry": found[number]}) + "\n")
                file.flush()
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
