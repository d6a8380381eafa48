"""Packaging of tfcnf; its metadata and dependencies are in pyproject.toml."""

from setuptools import setup

setup()
