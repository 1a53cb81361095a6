"""Samplers that keep the hard budget of an architecture space."""

from mdsearch import HardBudgetSampler, LassoSampler, LinearSampler, report_scores

__all__ = ["HardBudgetSampler", "LassoSampler", "LinearSampler", "report_scores"]
