"""Data in, fitted model out: the request, the plan, the fit, and what it is worth. Pure."""
