"""Every file of a run folder by name, and the folder of each of its jobs.

runs/<name>/
    record.jsonl          what happened, the truth; .driver beside it says who writes to it
    config.yaml           the settings that it was made with
    provenance.json       commit, versions, hardware
    evaluator/            what scores, made once; real images and prompts of what samples.png shows
    trials/<number>/      of each trial, and confirm/<key>/ of each confirmation run:
        architecture.yaml, weights, samples.png, curve.jsonl, work.jsonl, states/ while it runs,
        events.out.tfevents.* for TensorBoard
    own/                  each version of a custom sampler or stopping rule
    tracked.json          its runs in MLflow or W&B, with logger=
    best.yaml, trials.csv, rungs.csv, report.html, study.db    made from the record, and can be made again
"""

from __future__ import annotations

import errno
from pathlib import Path

from training.files import ARCHITECTURE_NAME as ARCHITECTURE_NAME
from training.files import CONFIG_NAME as CONFIG_NAME
from training.files import CURVE_NAME as CURVE_NAME
from training.files import MODEL_NAME as MODEL_NAME
from training.files import SAMPLES_NAME as SAMPLES_NAME

RECORD_NAME = "record.jsonl"
HOLDER_NAME = ".driver"
PROVENANCE_NAME = "provenance.json"
EVALUATOR_FOLDER = "evaluator"
CUSTOM_FOLDER = "own"  # as the first version named it

BEST_NAME = "best.yaml"
CSV_NAME = "trials.csv"
RUNGS_NAME = "rungs.csv"
REPORT_NAME = "report.html"
STUDY_NAME = "study.db"
REWRITTEN = (BEST_NAME, CSV_NAME, RUNGS_NAME, REPORT_NAME)  # whole, again and again

TRIALS_FOLDER, CONFIRM_FOLDER = "trials", "confirm"
SHARED_KEY = "supernet"  # of a training that trials share; its folder too
SAMPLES_SHOWN, SAMPLES_COLUMNS = 32, 8  # images of that sheet, and of one of its rows
REAL_NAME, PROMPTS_NAME = "real.png", "prompts.json"  # of the evaluator's folder: the same for real images
ALL_PROMPTS_NAME = "captions.json"  # beside them: all prompts, where they are of a file (scoring.captions)
ENCODER_FOLDER = "autoencoder"  # in the same folder: of a search over decoders, whose encoder stays
WORK_NAME = "work.jsonl"


def job_folder(run_folder: Path, key: str) -> Path:
    """Where a job's files are: trials/<n>, confirm/<key> for confirmation runs, or supernet."""
    if key == SHARED_KEY:
        return run_folder / key
    return run_folder / (TRIALS_FOLDER if key.isdigit() else CONFIRM_FOLDER) / key


def make_job_folder(run_folder: Path, key: str) -> Path:
    """Raises OSError where the run folder itself is not there: a mount that has dropped out, say; what is
    made in its place would be lost when it comes back."""
    if not run_folder.is_dir():
        raise OSError(errno.ESTALE, "the run folder is away", str(run_folder))
    folder = job_folder(run_folder, key)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
