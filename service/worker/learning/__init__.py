"""Data in, fitted pipeline out: the request, the plan, the fit, and what it is worth."""
