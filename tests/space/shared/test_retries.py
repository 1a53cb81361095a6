"""Errors that come from each other, also in circles."""

from __future__ import annotations

import errno

import pytest

from space.shared.retries import causes, storage_error


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
