"""Trains the arms of a comparison one after another; the same command resumes.

    python launch/sweep.py --sweep=configs/sweeps/digits.py --out=runs/sweep

Finished runs are skipped. Any value can be given behind its name, for instance
--sweep.seeds="(0,)" or --sweep.arms.batch_128.infocnf_learned.training.epochs=5.
"""

from absl import flags
from ml_collections import config_flags

from tfcnf import command_line
from tfcnf.runs import sweep

SWEEP = config_flags.DEFINE_config_file(
    "sweep", None, "Table of arms, with ':VARIANT' behind it if wanted."
)
OUT = flags.DEFINE_string("out", None, "Folder of the sweep.")
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of tensorflow-datasets; its own default if not given."
)


def main() -> None:
    table = SWEEP.value.to_dict()
    sweep.run(table["arms"], table["seeds"], out=OUT.value, data_dir=DATA_DIR.value)


if __name__ == "__main__":
    flags.mark_flags_as_required(["sweep", "out"])
    command_line.run(main)
