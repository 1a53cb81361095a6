"""A whole system, from search to one step, as one page."""
