"""CPUs by affinity and by control groups of both versions, laid out in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from space.shared import cpus
from space.shared.cpus import available_cpus, cgroup_quotas


def written(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize(
    ("cgroup", "groups", "quotas"),
    [
        ("0::/\n", {"": {"cpu__max": "250000 100000\n"}}, [2.5]),
        ("0::/\n", {"": {"cpu__max": "max 100000\n"}}, []),
        (
            "0::/slurm/job/step\n",
            {"slurm/job/step": {"cpu__max": "max 100000"}, "slurm/job": {"cpu__max": "400000 100000"}},
            [4.0],
        ),
        (
            "5:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n",
            {"cpu,cpuacct": {"cpu__cfs_quota_us": "300000\n", "cpu__cfs_period_us": "100000\n"}},
            [3.0],
        ),
        ("4:cpu:/\n", {"cpu": {"cpu__cfs_quota_us": "-1", "cpu__cfs_period_us": "100000"}}, []),
        ("0::/\n", {}, []),
    ],
)
def test_control_groups_of_both_versions(cgroup, groups, quotas, tmp_path) -> None:
    (tmp_path / "cgroup").write_text(cgroup)
    for folder, files in groups.items():
        written(tmp_path / "fs" / folder, **files)
    assert list(cgroup_quotas(tmp_path / "cgroup", tmp_path / "fs")) == quotas


def test_no_control_groups_at_all(tmp_path: Path) -> None:
    assert list(cgroup_quotas(tmp_path / "none", tmp_path)) == []


@pytest.mark.parametrize(("quotas", "available"), [([], 3), ([2.5], 2), ([0.5], 1), ([8.0, 2.0], 2)])
def test_the_least_of_affinity_and_quotas_counts(quotas, available, monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 5, 9})
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(cpus, "cgroup_quotas", lambda: iter(quotas))
    assert available_cpus() == available
