"""What drives a strategy: this process, or Ray Tune's workers."""

from __future__ import annotations

import os
import secrets

from search.settings import ClusterSettings


def set_ray_environment(cluster: ClusterSettings) -> None:
    """What Ray reads from the environment, and when it is imported, not later: so this comes first.

    A cluster of our own asks for a token, made here unless one is set; an existing one says itself.
    """
    if cluster.address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(16))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # Tune prints nothing; the display is ours
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "inf")  # Tune's own state is of no use to us
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")  # a worker's death is told in a line of ours
    os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
