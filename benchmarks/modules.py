"""Modules of the benchmarks as processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]  # from where Python finds the modules
ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
}


def command(module: str, *arguments: object) -> list[str]:
    """The command line of a module; to be started in the folder `ROOT`."""
    return [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]


def answer(module: str, *arguments: object) -> Any:
    """Runs a module and reads the last line of its output, which is JSON.

    Raises:
        CalledProcessError: where it ends with another exit status than 0.
    """
    output = subprocess.run(
        command(module, *arguments),
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
    ).stdout
    return json.loads(output.strip().splitlines()[-1])
