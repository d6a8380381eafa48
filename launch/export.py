"""Exports a run as a SavedModel that plain TensorFlow loads and serves.

    python launch/export.py --workdir=runs/digits --export_dir=runs/digits/export
    docker run -p 8501:8501 -e MODEL_NAME=digits \\
        -v $PWD/runs/digits/export:/models/digits/1 tensorflow/serving

The run is on images, vectors or a table, with or without a context. Beside the model
stand assets/MODEL_CARD.md, which lists its functions with their inputs and units, the
run's configuration and measures, and the labels. The training data are read once, for
the entropy that ood_score compares with; without them, and with a context, the export
has no ood_score.
"""

from absl import flags

from tfcnf import command_line
from tfcnf.runs import Run
from tfcnf.serving import bounds, export
from tfcnf.training.averaging import KEPT

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
EXPORT_DIR = flags.DEFINE_string("export_dir", None, "Folder to make.")
TOL = flags.DEFINE_float("tol", 1e-5, "Solver tolerance where a request has none.")
TRACE = flags.DEFINE_enum(
    "trace",
    "auto",
    export.TRACES,
    "Log-determinants: exact, or estimated and averaged.",
)
DRAWS = flags.DEFINE_integer("draws", export.DRAWS, "Draws of noise to average.")
MAX_BATCH = flags.DEFINE_integer(
    "max_batch", bounds.Bounds.max_batch, "Most examples of a request."
)
MIN_TOL = flags.DEFINE_float(
    "min_tol", bounds.Bounds.min_tol, "Tightest tolerance of a request."
)
MAX_WORK = flags.DEFINE_integer(
    "max_work",
    bounds.Bounds.max_work,
    "Most work of a request in each solve: examples times attempted steps, times "
    "1 + P / 3 where log-determinants take P directions, in all draws of noise.",
)
STEPS = flags.DEFINE_list(
    "steps",
    None,
    "Steps that a request may choose from, the default first: shared (one step size "
    "for all its examples), each (of its own for each); both if the solver can.",
)
WORST = flags.DEFINE_bool(
    "measure_worst",
    False,
    "Time the dearest requests that the bounds allow, for the model card.",
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an older export.")
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of tensorflow-datasets; its own default if not given."
)
DATA = flags.DEFINE_string(
    "data", None, "Where the run's data are now, if they have moved."
)

WEIGHTS = flags.DEFINE_enum(
    "weights", None, KEPT, "Weights to take; the average if the run keeps one."
)


def main() -> None:
    run = Run(
        WORKDIR.value,
        data_dir=DATA_DIR.value,
        moved_to=DATA.value,
        weights=WEIGHTS.value,
    )
    made = run.export(
        EXPORT_DIR.value,
        tol=TOL.value,
        trace=TRACE.value,
        draws=DRAWS.value,
        bounds=bounds.Bounds(MAX_BATCH.value, MIN_TOL.value, MAX_WORK.value),
        steps=STEPS.value,
        worst=WORST.value,
        overwrite=OVERWRITE.value,
    )
    print(f"exported to {made}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["workdir", "export_dir"])
    command_line.run(main)
