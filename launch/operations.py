"""Prints what a traced training spent its time on.

    python launch/train.py --config=configs/digits.py --workdir=runs/digits \\
        --profile=5:7
    python launch/operations.py --workdir=runs/digits

The trace itself opens in TensorBoard: pip install -e ".[profile]", then
tensorboard --logdir=runs/digits/tensorboard (tab Profile).
"""

import sys
from pathlib import Path

from absl import flags

from tfcnf import command_line

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not installed
from benchmarks import profile

WORKDIR = flags.DEFINE_string("workdir", None, "Run folder with a trace.")


def main() -> None:
    print(profile.table(profile.read_trace(WORKDIR.value)))


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    command_line.run(main)
