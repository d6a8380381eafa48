"""Evaluates a run at one or more solver tolerances.

    python launch/evaluate.py --workdir=runs/digits --tol=1e-5,1e-6 \\
        --dtype=float32,float64
    python launch/evaluate.py --workdir=runs/digits --learned

Writes eval.json into the run folder and prints a table; with --learned, evaluates at
the tolerances that the run's own policies give and writes tolerances.json.
"""

from absl import flags

from tfcnf import command_line, experiment
from tfcnf.gates.policy import parse_tolerances

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
TOL = flags.DEFINE_list("tol", ["1e-5"], "Solver tolerances, comma-separated.")
DTYPE = flags.DEFINE_list(
    "dtype", [], "Float types, float32 or float64; that of the run if not given."
)
SPLIT = flags.DEFINE_string("split", "test", "Split to evaluate: test or train.")
LEARNED = flags.DEFINE_bool(
    "learned", False, "Evaluate at the run's own random or learned tolerances."
)
BEST = flags.DEFINE_bool(
    "best", False, "Evaluate the kept checkpoint of the best test measure."
)
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of tensorflow-datasets; its own default if not given."
)


def main() -> None:
    if LEARNED.value:
        experiment.evaluate_tolerances(WORKDIR.value, DATA_DIR.value)
        return
    tols = parse_tolerances(TOL.value)
    experiment.evaluate(
        WORKDIR.value, tols, SPLIT.value, DATA_DIR.value, DTYPE.value, BEST.value
    )


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    command_line.run(main)
