"""Draws images from a trained run, of one class if it has labels, into a PNG.

python launch/sample.py --workdir=runs/digits --label=3 --num=20 --out=three.png

The data of the run are not needed.
"""

from absl import flags

from tfcnf import command_line
from tfcnf.runs import Run
from tfcnf.training.averaging import KEPT

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
LABEL = flags.DEFINE_string(
    "label", None, "Class to draw, by its name or number, of a model with labels."
)
NUM = flags.DEFINE_integer("num", 10, "Number of images.")
OUT = flags.DEFINE_string("out", None, "PNG file to write.")
SEED = flags.DEFINE_integer("seed", 0, "The same seed gives the same images.")
TEMPERATURE = flags.DEFINE_float(
    "temperature", 1.0, "Factor on the deviations of the code; 1 samples the model."
)
DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Folder of tensorflow-datasets, for a run that has no record of its data.",
)

WEIGHTS = flags.DEFINE_enum(
    "weights", None, KEPT, "Weights to take; the average if the run keeps one."
)


def main() -> None:
    run = Run(WORKDIR.value, data_dir=DATA_DIR.value, weights=WEIGHTS.value)
    run.sample(
        LABEL.value,
        NUM.value,
        out=OUT.value,
        seed=SEED.value,
        temperature=TEMPERATURE.value,
    )


if __name__ == "__main__":
    flags.mark_flags_as_required(["workdir", "out"])
    command_line.run(main)
