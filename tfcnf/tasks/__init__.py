"""Kinds of data: images, points, series, and those of your own."""

from tfcnf.registry import import_modules
from tfcnf.tasks.base import Measure, Section, Task

import_modules(__name__, __path__)

__all__ = ["Measure", "Section", "Task"]
