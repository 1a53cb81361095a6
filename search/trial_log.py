"""Which process trained which steps of a trial: a line in its folder for each state."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

from search.runs.files import WORK_NAME, job_folder


def log_work(folder: Path, from_step: int, to_step: int) -> None:
    """Once the state is on the disk."""
    done = {"host": socket.gethostname(), "pid": os.getpid(), "time": round(time.time(), 3)}
    line = json.dumps({"from_step": from_step, "to_step": to_step} | done)
    with open(folder / WORK_NAME, "a", encoding="utf-8") as file:
        file.write(line + "\n")


def saved_step(run_folder: Path, key: str) -> int:
    """Up to which step a job has left states, as its log says; 0 where nothing can be read of it."""
    try:
        lines = (job_folder(run_folder, key) / WORK_NAME).read_text(encoding="utf-8").splitlines()
        return max((int(json.loads(line)["to_step"]) for line in lines), default=0)
    except (OSError, ValueError, KeyError, TypeError):
        return 0
