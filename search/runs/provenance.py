"""Where a run's figures come from: commit, versions, hardware."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from space.shared.cpus import available_cpus

_PACKAGES = ("mdsearch", "torch", "ray", "optuna", "open-clip-torch", "diffusers", "numpy", "scipy")


def provenance() -> dict[str, Any]:
    """Commit (with whether files differ from it), versions and hardware of this process."""
    import torch

    return {
        "commit": _git("rev-parse", "HEAD"),
        "changed_files": len((_git("status", "--porcelain") or "").splitlines()),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "hardware": {
            "machine": platform.machine(),
            "processor": _processor(),
            "cpus": os.cpu_count(),
            "cpus_available": available_cpus(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "system": platform.platform(),
    }


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None  # an installed wheel has no repository
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
