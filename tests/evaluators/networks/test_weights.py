"""Weights from a file, the cache or an address: by digest, whole or absent, fetched once however many ask."""

from __future__ import annotations

import hashlib
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from evaluators.networks.loading import load_networks
from evaluators.networks.weights import (
    Missing,
    PublishedWeights,
    WeightsSettings,
    find_weights,
    load_tensors,
)
from evaluators.protocols.protocol import EvaluationProtocol, ImageForm, NetworkSpec
from space.shared.files import file_digest
from space.shared.plain import InputError

ROOT = Path(__file__).parents[3]
CONTENT = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves one file, and counts how often."""

    served = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/weights.pt"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Of a file called half the connection ends in the middle."""
        assert isinstance(self.server, Server)
        self.server.served += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        content = CONTENT[: len(CONTENT) // 2] if self.path == "/half.pt" else CONTENT
        for start in range(0, len(content), 1 << 20):
            self.wfile.write(content[start : start + (1 << 20)])

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


ASK = """
import sys
from pathlib import Path
from evaluators.networks.weights import PublishedWeights, WeightsSettings, find_weights
from space.shared.files import file_digest
published = PublishedWeights(("weights.pt",), url=sys.argv[1], sha256=sys.argv[2])
sys.stdin.readline()
print(file_digest(find_weights("net", published, WeightsSettings(cache_folder=sys.argv[3]))).hex())
"""


def test_workers_that_start_at_once_fetch_it_once(server: Server, tmp_path: Path) -> None:
    """Real processes, held back until all of them are ready."""
    command = [sys.executable, "-c", ASK, server.url, SHA256, str(tmp_path / "cache")]
    workers = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    assert [worker.communicate()[0].strip() for worker in workers] == [SHA256] * 4
    assert server.served == 1
    assert sorted(path.name for path in (tmp_path / "cache").iterdir() if path.suffix == ".pt") == [
        "weights.pt"
    ]


def test_what_arrives_with_another_digest_is_not_kept(server: Server, tmp_path: Path) -> None:
    published = PublishedWeights(("weights.pt",), url=server.url, sha256="0" * 64)
    with pytest.raises(Missing, match=f"what {server.url} sent has the SHA-256 {SHA256}"):
        find_weights("net", published, WeightsSettings(cache_folder=str(tmp_path)))
    assert not (tmp_path / "weights.pt").exists()
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


def test_what_ends_too_early_is_not_kept_though_no_digest_is_known(server: Server, tmp_path: Path) -> None:
    published = PublishedWeights(("half.pt",), url=server.url.replace("weights", "half"))
    with pytest.raises(Missing, match=r"half\.pt .* 2,560,000 of 5,120,000 bytes"):
        find_weights("net", published, WeightsSettings(cache_folder=str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


def test_the_hubs_cache_is_looked_into_and_where_it_cannot_be_written_another_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Path | None, bool]] = []

    def fetch(repository: str, name: str, cache_dir: Path | None, local_files_only: bool) -> str:
        asked.append((cache_dir, local_files_only))
        if local_files_only:
            raise FileNotFoundError
        (tmp_path / name).write_bytes(CONTENT)
        return str(tmp_path / name)

    (tmp_path / "file").touch()
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    published = PublishedWeights(("net.bin",), hub=("someone/net", ("net.bin",)))
    settings = WeightsSettings(cache_folder=str(tmp_path / "cache"))
    assert find_weights("net", published, settings) == tmp_path / "net.bin"
    own = tmp_path / f"mdsearch-hub-{os.getuid()}"
    assert asked == [(None, True), (own, True), (own, False)]


def test_what_the_hubs_cache_holds_under_another_digest_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names a large file by its SHA-256, and links to it."""
    for blob, refused in ((SHA256, False), ("0" * 64, True)):
        (tmp_path / blob).write_bytes(CONTENT)
        link = tmp_path / f"net-{blob[:4]}.bin"
        link.symlink_to(tmp_path / blob)
        monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, link=link, **__: str(link))
        published = PublishedWeights((link.name,), hub=("someone/net", (link.name,)))
        settings = WeightsSettings(cache_folder=str(tmp_path / "cache"))
        if not refused:
            assert find_weights("net", published, settings) == link
            continue
        with pytest.raises(InputError, match=f"net: .* has the SHA-256 {SHA256}, not {blob}"):
            find_weights("net", published, settings)


def test_a_file_of_yours_goes_before_the_cache_and_the_cache_before_the_address(tmp_path: Path) -> None:
    published = PublishedWeights(("net.pt", "net.safetensors"), url="http://127.0.0.1:9/none")
    cache, own = tmp_path / "cache", tmp_path / "own.pt"
    cache.mkdir()
    (cache / "net.safetensors").write_bytes(CONTENT)
    settings = WeightsSettings(cache_folder=str(cache))
    assert find_weights("net", published, settings, SHA256) == cache / "net.safetensors"
    own.write_bytes(b"mine")
    settings = WeightsSettings(cache_folder=str(cache), files={"net": str(own)})
    assert find_weights("net", published, settings) == own
    assert find_weights("net", None, settings) == own
    with pytest.raises(InputError, match=f"has the SHA-256 {file_digest(own).hex()}, not {SHA256}"):
        find_weights("net", published, settings, SHA256)
    with pytest.raises(InputError, match=r"weights\.files\.net: .*absent\.pt' is no file"):
        find_weights("net", published, WeightsSettings(files={"net": str(tmp_path / "absent.pt")}))


def test_a_damaged_file_in_the_cache_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(CONTENT[:-1])
    published = PublishedWeights(("weights.pt",), sha256=SHA256)
    with pytest.raises(InputError, match="another file, or damaged: delete it"):
        find_weights("net", published, WeightsSettings(cache_folder=str(tmp_path)))


def test_without_network_or_files_one_message_says_what_to_put_where(tmp_path: Path) -> None:
    protocol = EvaluationProtocol(
        "test",
        10,
        ImageForm(64),
        (NetworkSpec("inception-v3"), NetworkSpec("inception-v3-pytorch")),
        (
            NetworkSpec("open-clip", "ViT-B-32", "openai"),
            NetworkSpec("open-clip", "ViT-g-14", "laion2b_s34b_b88k"),
        ),
        None,
        None,
    )
    with pytest.raises(Missing) as caught:
        load_networks(protocol, WeightsSettings(cache_folder=str(tmp_path), download=False))
    message = str(caught.value)
    for part in (
        "nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
        str(tmp_path / "inception-2015-12-05.pt"),
        "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
        str(tmp_path / "pt_inception-2015-12-05-6726825d.pth"),
        str(tmp_path / "vit-b-32-openai.pt"),
        "open_clip_pytorch_model.bin of https://huggingface.co/laion/CLIP-ViT-g-14-laion2B-s34B-b88K",
        str(tmp_path / "vit-g-14-laion2b_s34b_b88k.safetensors (or .bin)"),
        "weights.files.vit-g-14=<file>",
        "weights.download is off",
    ):
        assert part in message
    assert list(tmp_path.iterdir()) == []


def test_an_address_that_does_not_answer_is_said(tmp_path: Path) -> None:
    published = PublishedWeights(("net.pt",), url="http://127.0.0.1:9/net.pt")
    with pytest.raises(Missing, match="Connection refused") as caught:
        find_weights("net", published, WeightsSettings(cache_folder=str(tmp_path)))
    assert f"put http://127.0.0.1:9/net.pt at {tmp_path / 'net.pt'}" in str(caught.value)


def test_tensors_are_read_from_each_form(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    layer = nn.Linear(3, 2)
    state = layer.state_dict()
    torch.save(state, tmp_path / "plain.pt")
    torch.save(
        {"state_dict": {f"module.{name}": item for name, item in state.items()}}, tmp_path / "nested.bin"
    )
    save_file(state, tmp_path / "safe.safetensors")
    torch.jit.trace(layer, torch.zeros(1, 3)).save(str(tmp_path / "script.pt"))
    for name in ("plain.pt", "nested.bin", "safe.safetensors", "script.pt"):
        read = load_tensors(tmp_path / name)
        assert set(read) == {"weight", "bias"} and torch.equal(read["weight"], state["weight"])


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("run while loading",)


def test_files_that_hold_no_tensors_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("not weights")
    torch.save({"weight": Evil()}, tmp_path / "code.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    for name, message in (
        ("text.pt", "cannot be read"),
        ("code.pt", "cannot be read"),
        ("list.pt", "no named"),
    ):
        with pytest.raises(InputError, match=message):
            load_tensors(tmp_path / name)
