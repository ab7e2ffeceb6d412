"""Puts the rooms together: the only place that knows which implementation stands behind which port."""

from __future__ import annotations

from sealwright.wiring.serve import serve

__all__ = ["serve"]
