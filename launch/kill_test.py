"""Kills a training again and again and compares it with one that was left alone.

    python launch/kill_test.py --kills=3 --out=runs/kills -- python launch/train.py \\
        --config=configs/digits.py:smoke --config.training.epochs=6 --checkpoint_every=5

Exit status 0 and "identical" where weights, states and every measure are the same to
the last bit; 1 otherwise. The same command goes on after an interruption. With
--workers=2 the command is started as two workers and one of them is killed.
"""

import sys
from pathlib import Path

from absl import flags

from tfcnf import command_line

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not installed
from benchmarks import kills

KILLS = flags.DEFINE_integer("kills", 3, "Number of kills.")
WORKERS = flags.DEFINE_integer("workers", 1, "Processes of the training.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the moments.")
OUT = flags.DEFINE_string("out", None, "Folder of the test.")


def main(command: list[str]) -> None:
    result = kills.run(
        command, OUT.value, kills=KILLS.value, workers=WORKERS.value, seed=SEED.value
    )
    print("identical" if result["identical"] else f"different: {result['runs']}")
    sys.exit(not result["identical"])


if __name__ == "__main__":
    flags.mark_flag_as_required("out")
    command_line.run_with_arguments(main)
