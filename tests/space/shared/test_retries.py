"""Errors that come from each other, also in circles; which are of storage, and the patience with those."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from space.shared import retries
from space.shared.plain import InputError
from space.shared.retries import Waiting, causes, patiently, storage_error


def its_own_cause(error: Exception) -> Exception:
    """What `raise error from error` leaves, as Ray does where its dashboard does not start."""
    error.__cause__ = error
    return error


def circle(*errors: Exception) -> Exception:
    for one, other in zip(errors, (*errors[1:], errors[0]), strict=True):
        one.__cause__ = other
    return errors[0]


@pytest.mark.timeout(10)
def test_errors_in_a_circle_are_walked_once() -> None:
    port = its_own_cause(ValueError("Failed to bind"))
    assert list(causes(port)) == [port] and storage_error(port) is None
    full = OSError(errno.ENOSPC, "No space left on device")
    bug, other = ValueError("a bug"), KeyError("b")
    assert list(causes(circle(bug, other, full))) == [bug, other, full]
    assert storage_error(bug) is full


def test_the_cause_goes_before_the_context() -> None:
    error, cause, context = ValueError(), KeyError(), OSError()
    error.__cause__, error.__context__ = cause, context
    assert list(causes(error)) == [error, cause]
    error.__cause__ = None
    assert list(causes(error)) == [error, context]


def test_work_that_storage_fails_is_done_again_and_other_errors_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    outcomes = iter(
        [OSError(errno.ENOSPC, "No space left on device", "state.pt"), OSError(errno.EIO, "I/O"), 7]
    )

    def work() -> int:
        outcome = next(outcomes)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    def collect() -> Iterator[object]:
        yield (yield from patiently(work))

    assert list(collect()) == [Waiting("state.pt: No space left on device"), Waiting("I/O"), 7]
    outcomes = iter([OSError(errno.ENOENT, "No such file or directory")])
    with pytest.raises(FileNotFoundError):
        list(collect())
    assert pauses == [1, 2]


def raised_from(error: OSError) -> InputError:
    try:
        try:
            raise error
        except OSError:
            raise InputError("out: 'samples.png' cannot be written") from None
    except InputError as wrapped:
        return wrapped


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
        (raised_from(OSError(errno.EDQUOT, "Disk quota exceeded")), errno.EDQUOT),
        (
            RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
            errno.ENOSPC,
        ),
        (PermissionError(errno.EACCES, "Permission denied"), errno.EACCES),
        (OSError("image file is truncated"), None),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), None),
        (ValueError("a bug"), None),
    ],
)
def test_storage_is_told_from_everything_else(error: Exception, number: int | None) -> None:
    found = storage_error(error)
    assert (found and found.errno) == number


def test_the_patience_stated_is_the_patience_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "PATIENCE_SECONDS", 300.0)
    assert retries.waiting_time() == "5 minutes" and 300 <= sum(retries.pauses()) < 360
