"""Times tfcnf beside other libraries and writes the figures as JSON.

    pip install -e ".[bench]"
    python launch/benchmark.py --suite=step --out=runs/benchmarks/step.json
    python launch/report.py --benchmark=runs/benchmarks/step.json

Suites: solver (evaluations against error), step (a training step), train (InfoCNF on
the digits to the same quality), start (from process start to the first step), memory
(peak against the number of steps), serve (an exported run beside the model in memory),
hostile (a model server under bad requests), tables (conditional densities beside zuko's
flows), gpu (a training step by precision, XLA and number of GPUs; on the CPU, too),
each (steps of each example beside shared ones), precision (noise and time of half
precision).
"""

import sys
from pathlib import Path

from absl import flags

from tfcnf import command_line

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not installed
from benchmarks import suites

SUITE = flags.DEFINE_enum("suite", None, [*suites.SUITES], "What to measure.")
OUT = flags.DEFINE_string("out", None, "JSON file to write; must not exist.")
SIZES = flags.DEFINE_list(
    "sizes", [], "Only these sizes of the step suite, by number from 0, or tables."
)
BUDGET = flags.DEFINE_float("budget", 3600.0, "CPU seconds of a training of train.")
BATCH = flags.DEFINE_integer("batch", None, "Images of a device in gpu.", 1)
ROUNDS = flags.DEFINE_integer("rounds", 3, "Timings, or seeds, of each contender.", 1)
CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Run folder of trained flows for solver, step, serve, hostile."
)
CONTENDERS = flags.DEFINE_list(
    "contenders", [], "Only these contenders of step, train or tables."
)


def main() -> None:
    suites.run(
        SUITE.value,
        OUT.value,
        sizes=SIZES.value,
        rounds=ROUNDS.value,
        checkpoint=CHECKPOINT.value,
        contenders=CONTENDERS.value,
        budget=BUDGET.value,
        batch=BATCH.value,
    )


if __name__ == "__main__":
    flags.mark_flags_as_required(["suite", "out"])
    command_line.run(main)
