"""The configurations that the project ships, without those that lie over others."""

from pathlib import Path

__all__ = ["CONFIGS"]

CONFIGS = sorted(p for p in Path("configs").rglob("*.yaml") if p.parent.name not in ("data", "trainer", "pictures"))
