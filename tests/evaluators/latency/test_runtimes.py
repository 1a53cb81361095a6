"""Modules ready to be timed, whichever way they run here."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from evaluators.latency import runtimes
from evaluators.latency.runtimes import (
    Place,
    places_here,
    processor_name,
    runner,
    runtimes_here,
    versions_of,
)
from evaluators.latency.table4 import PAPERS_ROWS, row_of
from evaluators.latency.timing import Timing
from evaluators.latency.whole import (
    ClipText,
    Decoder,
    decoder_inputs,
    text_inputs,
    unet_inputs,
    unet_module,
    whole_timing,
)
from space.architecture import Architecture, Level
from space.shared import compiling
from space.shared.plain import InputError

SMALL = Architecture(
    (Level(16, "full", (1,), (0, 0), self_attention=True, cross_attention=True),),
    norm_groups=8,
    head_width=16,
    time_width=32,
    latent_size=4,
    context_width=16,
    context_length=5,
)


class Seen(nn.Module):
    """Keeps what it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append(x)
        return x


def test_inputs_rotate_and_nothing_is_kept_for_gradients() -> None:
    inputs = [{"x": torch.full((1,), float(number))} for number in range(3)]
    module = Seen()
    run = runner(module, inputs, "eager", Place("cpu", 1), Path())
    assert [run(number) for number in range(4)] == [None] * 4
    assert [float(x) for x in module.calls] == [0, 1, 2, 0]
    assert all(x.is_inference() or not x.requires_grad for x in module.calls)
    assert not module.training


class Sum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


def test_however_many_modules_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains of a list share one `forward`; past torch's limit of one code the rest would run eagerly."""
    compiled: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled.append(len(inputs))
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    for size in range(2, 14):
        run = runner(Sum(), [{"x": torch.zeros(size)}], "compiled", Place("cpu", 1), Path())
        assert run(0) is run(1) is None
    assert len(compiled) == 12


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sin() * x + 1


LACKING = "; ".join(runtimes_here(Place())[1])


@pytest.mark.slow  # a C++ compiler takes some ten CPU seconds
@pytest.mark.skipif("compiled" in LACKING, reason=LACKING)
def test_compiled_by_the_compiler_that_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of its own that gives what the module gives."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    made: list[Any] = []
    compile_it = torch.compile
    monkeypatch.setattr(torch, "compile", lambda *of, **by: made.append(compile_it(*of, **by)) or made[0])
    inputs = [{"x": torch.linspace(-2, 2, 12) + number} for number in range(2)]
    run = runner(Square(), inputs, "compiled", Place("cpu", 1), Path())
    assert run(0) is run(1) is None
    assert list(tmp_path.rglob("*.so"))
    torch.testing.assert_close(made[0](inputs[1]["x"]), Square()(inputs[1]["x"]))


@pytest.mark.parametrize(
    ("named", "said"), [("no-such-g++", "no-such-g[+][+], or what CXX names"), ("", "g[+][+]")]
)
def test_without_a_compiler(named: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused where it is named, left out with the reason where all that run here are meant."""
    monkeypatch.setenv("CXX", named)
    monkeypatch.setattr(compiling.sys, "platform", "linux")
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=rf"compiled needs a compiler \({said}.*not here; allowed: eager"):
        Place().check("compiled")
    found, (reason,) = runtimes_here(Place())
    assert found == ("eager", "onnx", "onnx_int8") and reason.startswith("left out: compiled needs")
    monkeypatch.setattr(compiling.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(compiling.sysconfig, "get_path", lambda name: "/nowhere")
    with pytest.raises(InputError, match=r"compiled needs Python's headers"):
        Place().check("compiled")
    assert runtimes_here(Place(precision="bf16"))[0] == ("eager",)


def test_an_exported_network_and_its_int8_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One export serves both; each session gets the threads, and gives what the network gives."""
    torch.manual_seed(0)
    module = unet_module(SMALL)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2)
    made: list[Any] = []
    session = onnxruntime.InferenceSession

    def counting(path: str, options: Any, **fields: Any) -> Any:
        made.append((session(path, options, **fields), options.intra_op_num_threads))
        return made[-1][0]

    monkeypatch.setattr(onnxruntime, "InferenceSession", counting)
    inputs = unet_inputs(SMALL)
    for runtime in ("onnx", "onnx_int8"):
        assert runner(module, inputs, runtime, Place("cpu", 1), tmp_path)(0) is None
    assert [threads for _, threads in made] == [1, 1]
    given = {name: value.numpy() for name, value in inputs[1].items()}
    with torch.no_grad():
        ours = module(*inputs[1].values()).numpy()
    full, int8 = (one.run(None, given)[0] for one, _ in made)
    assert np.abs(ours).max() > 0.1
    np.testing.assert_allclose(full, ours, rtol=1e-3, atol=1e-3)
    assert 0 < np.abs(int8 - ours).max() < 0.2 * np.abs(ours).max()
    assert len(list(tmp_path.glob("*.onnx"))) == 2


@pytest.mark.parametrize(
    ("place", "runtime", "named"),
    [
        (("cpu", 1, "fp32"), "graph", "runtime: graph replays on a GPU"),
        (("cpu", 1, "bf16"), "onnx", "runtime: onnx is measured on the CPU in fp32"),
        (("cpu", 1, "fp32"), "onyx", "runtime: 'onyx' is not a choice here; did you mean 'onnx'"),
        (("cpu", 0, "fp32"), "eager", "threads: 0 is too few"),
        (("tpu", 1, "fp32"), "eager", "device: 'tpu' is no choice here"),
        (("cpu", 1, "fp8"), "eager", "precision: 'fp8' is not a choice here"),
    ],
)
def test_what_does_not_run_here_is_refused(place: tuple[str, int, str], runtime: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        Place(*place).check(runtime)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_no_cuda_device() -> None:
    with pytest.raises(InputError, match="device: no CUDA device is here; allowed: cpu"):
        Place("cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("runtime", ["eager", "graph"])
def test_on_a_gpu_events_tell_the_time(runtime: str, tmp_path: Path) -> None:
    run = runner(unet_module(SMALL), unet_inputs(SMALL), runtime, Place("cuda", 1, "bf16"), tmp_path)
    assert all((run(number) or 0) > 0 for number in range(4))


def test_what_stands_before_and_behind_a_network() -> None:
    """The text tower and the decoder give the shapes of SD's, here narrow."""
    narrow = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = ClipText(**narrow, vocab_size=50).eval()
    with torch.no_grad():
        assert text(text_inputs(50)[0]["tokens"]).shape == (1, 77, 16)
        latents = decoder_inputs(SMALL)[0]["latents"]
        assert latents.shape == (1, 8, 4, 4)
        assert Decoder(8, (32, 32, 32, 32)).eval()(latents).shape == (1, 3, 32, 32)


def test_conditions_of_a_network_come_in_their_order() -> None:
    further = Architecture(
        SMALL.levels,
        norm_groups=8,
        head_width=16,
        latent_size=4,
        context_width=16,
        pooled_width=6,
        size_embeddings=2,
        guidance_width=3,
    )
    inputs = unet_inputs(further)[0]
    assert list(inputs)[3:] == ["pooled", "sizes", "guidance"]
    with torch.no_grad():
        assert unet_module(further)(*inputs.values()).shape == (1, 8, 4, 4)


def test_a_whole_network_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast(Any, runtimes.RUNTIMES), "made", lambda *_: lambda number: 100.0 + number)
    found = whole_timing(SMALL, "made", Place("cpu", 1), seconds=0.5, least=3, most=9, clock=lambda: 0.0)
    assert found.times == (101, 102, 103, 104, 105)  # half a second of 101 ms; one warms up


def test_what_the_first_run_takes_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may compile for minutes, of which rounds would be the fewest."""
    ran: list[int] = []

    def run(number: int) -> float:
        ran.append(number)
        return 1e6 if len(ran) == 1 else 50.0

    monkeypatch.setitem(cast(Any, runtimes.RUNTIMES), "made", lambda *_: run)
    found = whole_timing(SMALL, "made", Place("cpu", 1), seconds=0.5, least=3, most=99, clock=lambda: 0.0)
    assert found.times == (50.0,) * 10


def test_versions_are_those_that_ran() -> None:
    assert versions_of("eager")["torch"] == torch.__version__
    assert versions_of("onnx")["onnxruntime"] == onnxruntime.__version__
    assert "onnxruntime" not in versions_of("eager")


def test_a_row_is_laid_out_as_the_papers() -> None:
    text, decoder, unet = (Timing((ms,) * 8) for ms in (4.0, 92.0, 142.0))
    papers = PAPERS_ROWS[-1]
    ours = row_of(papers.model, papers.device, text, decoder, unet, 1)
    assert (ours.text, ours.decoder, ours.unet, ours.overall) == (
        papers.text,
        papers.decoder,
        papers.unet,
        papers.overall,
    )
    assert (ours.low, ours.high) == (238, 238)
    assert row_of("", "", text, decoder, unet, 8).overall == 4 + 92 + 8 * 142
    assert row_of("", "", None, None, unet, 8).overall is None


@pytest.mark.parametrize(
    ("cpuinfo", "board", "name"),
    [
        ("processor\t: 0\nmodel name\t: EPYC\nprocessor\t: 1\nmodel name\t: other\n", "a board", "EPYC"),
        ("CPU implementer\t: 0x41\nCPU part\t: 0xd42\n", "Jetson Orin Nano\0", "Jetson Orin Nano"),
        ("CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n", "", "aarch64 0x41 0xd0c"),
        ("", "", "aarch64"),
    ],
)
def test_two_boards_have_two_names(
    cpuinfo: str, board: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a price list of the one would be taken for one of the other."""
    monkeypatch.setattr(runtimes.sys, "platform", "linux")
    monkeypatch.setattr(runtimes.platform, "processor", lambda: "")
    monkeypatch.setattr(runtimes.platform, "machine", lambda: "aarch64")
    texts = {"/proc/cpuinfo": cpuinfo, "/proc/device-tree/model": board}
    assert processor_name(texts.__getitem__) == name


def test_the_devices_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert places_here() == {Place().name(): Place()}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "H200")
    assert places_here() == {Place().name(): Place(), "H200": Place("cuda")}
