"""Asks an export about images or rows, or a run about rows, and writes a table.

    python launch/predict.py --saved_model=runs/digits/export --images=FOLDER \\
        --out=answers.csv
    python launch/predict.py --saved_model=runs/digits/export --images=digits.npz \\
        --questions=log_prob,ood_score --out=answers.npz
    python launch/predict.py --workdir=runs/diabetes --table=people.csv \\
        --questions=log_prob,sample --samples=10 --out=answers.csv
    python launch/predict.py --saved_model=runs/diabetes/export --table=people.csv \\
        --out=answers.csv

A folder holds image files of the model's size, or folders of them; an .npz an array
`image` of floats (black 0, white 1) or of grey levels and, for log_prob, an array
`label`, or the arrays `x_test` and `y_test` of a file that one trains on.

A table has the columns that the run was trained on, as far as the questions need them:
log_prob (nats, in the table's units), labels (predicted), sample (given the context and
the labels of each row).
"""

from absl import flags

from tfcnf import command_line
from tfcnf.runs import table_answers
from tfcnf.serving import predict, row_answers

SAVED_MODEL = flags.DEFINE_string("saved_model", None, "Folder of the export.")
IMAGES = flags.DEFINE_string("images", None, "Folder of images, or .npz file.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a run on a table.")
TABLE = flags.DEFINE_string("table", None, "Table: .csv, .csv.gz, .parquet or .npz.")
OUT = flags.DEFINE_string("out", None, "New file: .csv, or .npz of images.")
QUESTIONS = flags.DEFINE_list(
    "questions",
    None,
    f"What to ask: about images of {', '.join(predict.QUESTIONS)} (classify and "
    f"marginal_log_prob if not given), about rows of "
    f"{', '.join(row_answers.QUESTIONS)} (log_prob if not given).",
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


def main() -> None:
    asked = {} if QUESTIONS.value is None else {"questions": QUESTIONS.value}
    if TABLE.value:
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
