"""Measures independent baselines on the split that the models are evaluated on.

    python launch/baselines.py --out=runs/baselines.json
    python launch/baselines.py --data=spirals --out=runs/spirals_posterior.json

Prints a line for each measure and writes all to the file.
"""

import sys
from pathlib import Path

from absl import flags

from tfcnf import command_line
from tfcnf.data import catalog

sys.path.insert(0, str(Path(__file__).parents[1]))  # papers/ is not installed
from papers import baselines

DATA = flags.DEFINE_string(
    "data", "digits", "Data set: digits, mnist, cifar10 or spirals."
)
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of tensorflow-datasets; its own default if not given."
)
SEED = flags.DEFINE_integer(
    "seed", 0, "The same seed gives the same numbers.", lower_bound=0
)
OUT = flags.DEFINE_string("out", None, "JSON file to write.")


def main() -> None:
    source = catalog.get(DATA.value, DATA_DIR.value)
    baselines.save(source, OUT.value, SEED.value)


if __name__ == "__main__":
    flags.mark_flag_as_required("out")
    command_line.run(main)
