"""Placeholder docstring until the package lands."""
