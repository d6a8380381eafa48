"""Asks an export about images or rows, or a run about rows or series.

    python launch/predict.py --saved_model=runs/digits/export --images=FOLDER \\
        --out=answers.csv
    python launch/predict.py --saved_model=runs/digits/export --images=digits.npz \\
        --questions=log_prob,ood_score --out=answers.npz
    python launch/predict.py --workdir=runs/diabetes --table=people.csv \\
        --questions=log_prob,sample --samples=10 --out=answers.csv
    python launch/predict.py --saved_model=runs/diabetes/export --table=people.csv \\
        --out=answers.csv
    python launch/predict.py --workdir=runs/patients --table=patients.csv \\
        --ahead=1,7 --out=answers.csv

A folder holds image files of the model's size, or folders of them; an .npz an array
`image` of floats (black 0, white 1) or of grey levels and, for log_prob, an array
`label`, or the arrays `x_test` and `y_test` of a file that one trains on.

A table has the columns that the run was trained on, as far as the questions need them:
log_prob (nats, in the table's units), labels (predicted), sample (given the context and
the labels of each row).

A table of series has a row for each point, with the columns of subject, time and values
that the run was trained on. The answer to forecast, the default, has a row for each
subject and each time ahead of its last point: the curve, and an interval that holds an
observation with the probability --level. The answer to labels has a row for each
subject, or adds to those.
"""

from absl import flags

from tfcnf import command_line
from tfcnf.runs import series_answers, table_answers
from tfcnf.runs.data import read_record
from tfcnf.serving import predict, row_answers

SAVED_MODEL = flags.DEFINE_string("saved_model", None, "Folder of the export.")
IMAGES = flags.DEFINE_string("images", None, "Folder of images, or .npz file.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a run on a table or series.")
TABLE = flags.DEFINE_string("table", None, "Table: .csv, .csv.gz, .parquet or .npz.")
OUT = flags.DEFINE_string("out", None, "New file: .csv, or .npz of images.")
QUESTIONS = flags.DEFINE_list(
    "questions",
    None,
    f"What to ask: about images of {', '.join(predict.QUESTIONS)} (classify and "
    f"marginal_log_prob, as far as it answers them, if not given), about rows of "
    f"{', '.join(row_answers.QUESTIONS)} (log_prob if not given), about series of "
    f"{', '.join(series_answers.QUESTIONS)} (forecast if not given).",
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Examples asked about at a time.")
TOL = flags.DEFINE_float("tol", None, "Solver tolerance; the export's, or 1e-5.")
STEPS = flags.DEFINE_enum(
    "steps",
    None,
    ["shared", "each"],
    "Steps of the solver: of its own for each example, whose answer then does not "
    "depend on its batch, or shared; shared, or the export's, if not given.",
)
SAMPLES = flags.DEFINE_integer("samples", 1, "Samples for each row.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of the samples.")
AHEAD = flags.DEFINE_list("ahead", [], "Times after a subject's last point, of series.")
LEVEL = flags.DEFINE_float("level", 0.9, "Probability of the interval of a forecast.")


def main() -> None:
    asked = {} if QUESTIONS.value is None else {"questions": QUESTIONS.value}
    record = read_record(WORKDIR.value) if WORKDIR.value else None
    if record and record.task == "series":
        number = series_answers.answer_series(
            WORKDIR.value,
            TABLE.value,
            out=OUT.value,
            ahead=command_line.numbers("ahead", AHEAD.value),
            level=LEVEL.value,
            seed=SEED.value,
            tol=TOL.value,
            batch_size=BATCH_SIZE.value,
            **asked,
        )
    elif TABLE.value:
        number = table_answers.answer_table(
            WORKDIR.value,
            TABLE.value,
            saved_model=SAVED_MODEL.value,
            out=OUT.value,
            samples=SAMPLES.value,
            seed=SEED.value,
            tol=TOL.value,
            steps=STEPS.value,
            batch_size=BATCH_SIZE.value,
            **asked,
        )
    else:
        number = predict.predict(
            SAVED_MODEL.value,
            IMAGES.value,
            out=OUT.value,
            batch_size=BATCH_SIZE.value,
            tol=TOL.value,
            steps=STEPS.value,
            **asked,
        )
    print(f"wrote {number} rows to {OUT.value}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["out"])
    flags.mark_flags_as_mutual_exclusive(["saved_model", "workdir"], required=True)
    flags.mark_flags_as_mutual_exclusive(["images", "table"], required=True)
    flags.register_multi_flags_validator(
        ["workdir", "images"],
        lambda given: given["workdir"] is None or given["images"] is None,
        "--workdir is for a --table; an export answers about --images.",
    )
    command_line.run(main)
