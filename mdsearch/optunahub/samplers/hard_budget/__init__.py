"""Samplers that keep the hard budget of an architecture space."""

from mdsearch import HardBudgetSampler, LinearSampler, report_scores

__all__ = ["HardBudgetSampler", "LinearSampler", "report_scores"]
