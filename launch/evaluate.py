"""Evaluates a run at one or more solver tolerances.

    python launch/evaluate.py --workdir=runs/digits --tol=1e-5,1e-6 \\
        --dtype=float32,float64
    python launch/evaluate.py --workdir=runs/digits --learned
    python launch/evaluate.py --workdir=runs/digits \\
        --uses=calibration,outliers,gallery,paths --data_dir=DIR
    python launch/evaluate.py --workdir=runs/digits --certificate

Writes eval.json into the run folder and prints a table; with --learned, evaluates at
the tolerances that the run's own policies give and writes tolerances.json; with --uses,
evaluates what the likelihoods and codes of a run are good for, at the first tolerance,
and writes a NAME.json and a NAME.npz for each; with --certificate, says how far the
model is from an ODE and a density at its own tolerances, at the first one and at looser
ones, in certificate.json and in words.
"""

from absl import flags

from tfcnf import command_line, uses
from tfcnf.diagnostics import Diagnostic
from tfcnf.runs import Run
from tfcnf.tolerances.policy import parse_tolerances
from tfcnf.training.averaging import KEPT

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
TOL = flags.DEFINE_list("tol", ["1e-5"], "Solver tolerances, comma-separated.")
DTYPE = flags.DEFINE_list(
    "dtype", [], "Float types, float32 or float64; that of the run if not given."
)
SPLIT = flags.DEFINE_string(
    "split", "test", "Split to evaluate: test, validation or train."
)
LEARNED = flags.DEFINE_bool(
    "learned", False, "Evaluate at the run's own random or learned tolerances."
)
BEST = flags.DEFINE_bool(
    "best",
    None,
    "The checkpoint of the best validation measure, or with --nobest the newest; the "
    "best of a run with a validation split if not given.",
)
CERTIFICATE = flags.DEFINE_bool(
    "certificate",
    False,
    "Is the model an ODE and a density, at its own tolerances and others? The same as "
    "--uses=certificate.",
)
USES = flags.DEFINE_list(
    "uses",
    [],
    f"Diagnostics to compute, comma-separated: {', '.join(Diagnostic.known)}.",
)
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Folder of tensorflow-datasets; its own default if not given."
)
DATA = flags.DEFINE_string(
    "data", None, "Where the run's data are now, if they have moved."
)
CHANGED_DATA = flags.DEFINE_bool(
    "changed_data",
    False,
    "The data may be others than those of the run; results go to *_changed_data.json.",
)

WEIGHTS = flags.DEFINE_enum(
    "weights", None, KEPT, "Weights to take; the average if the run keeps one."
)


def refuse(what: str, *unused: flags.FlagHolder) -> None:
    """Refuses flags that have no meaning for what is computed."""
    given = [f"{flag.name}={flag.value!r}" for flag in unused if flag.present]
    if given:
        names = ", ".join(f"--{flag.name}" for flag in unused)
        raise ValueError(f"{what} takes none of {names}. Received: {', '.join(given)}")


def main() -> None:
    chosen = {
        "data_dir": DATA_DIR.value,
        "changed_data": CHANGED_DATA.value,
        "weights": WEIGHTS.value,
        "best": BEST.value,
    }
    run = Run(WORKDIR.value, moved_to=DATA.value, **chosen)
    if LEARNED.value:
        refuse("--learned", TOL, SPLIT, DTYPE, USES, CERTIFICATE)
        run.evaluate_tolerances()
        return
    tols = parse_tolerances(TOL.value)
    names = USES.value + ["certificate"] * CERTIFICATE.value
    if names:
        refuse("a diagnostic", SPLIT, DTYPE)
        uses.evaluate(WORKDIR.value, names, tol=tols[0], data=DATA.value, **chosen)
        return
    run.evaluate(tols, split=SPLIT.value, dtypes=DTYPE.value)


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    command_line.run(main)
