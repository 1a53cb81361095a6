"""From many trials to one winner: noise, seeds where they decide something, verdicts."""
