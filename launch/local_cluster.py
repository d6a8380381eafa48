"""Runs a command as several workers on this machine, to try out what clusters do.

    python launch/local_cluster.py --workers=2 -- python launch/train.py \\
        --config=configs/digits.py:smoke --workdir=/tmp/two --strategy=multi_worker

Each worker gets its TF_CONFIG. SIGTERM and SIGINT are handed on. The exit status is
that of the training: 0, 2 (bad input), 143 (stopped by SIGTERM, and saved), 75 (a
worker was lost: start again), or that of another failure.
"""

import sys
from pathlib import Path

from absl import flags

from tfcnf import command_line

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not installed
from benchmarks import local_cluster

WORKERS = flags.DEFINE_integer("workers", 2, "Number of workers.")


def main(command: list[str]) -> None:
    local_cluster.run(command, WORKERS.value)


if __name__ == "__main__":
    command_line.run_with_arguments(main)
