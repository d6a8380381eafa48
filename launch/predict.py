"""Asks an exported model about images and writes the answers into a table.

    python launch/predict.py --saved_model=runs/digits/export --images=FOLDER \\
        --out=answers.csv
    python launch/predict.py --saved_model=runs/digits/export --images=digits.npz \\
        --questions=log_prob,ood_score --out=answers.npz

A folder holds image files of the model's size, or folders of them; an .npz an array
`image` of floats (black 0, white 1) or of grey levels and, for log_prob, an array
`label`, or the arrays `x_test` and `y_test` of a file that one trains on.
"""

from absl import flags

from tfcnf import command_line
from tfcnf.serving import predict

SAVED_MODEL = flags.DEFINE_string("saved_model", None, "Folder of the export.")
IMAGES = flags.DEFINE_string("images", None, "Folder of images, or .npz file.")
OUT = flags.DEFINE_string("out", None, "New file: .csv, or .npz.")
QUESTIONS = flags.DEFINE_list(
    "questions",
    ["classify", "marginal_log_prob"],
    f"What to ask, of {', '.join(predict.QUESTIONS)}.",
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 64, "Images asked about at a time.")
TOL = flags.DEFINE_float("tol", None, "Solver tolerance; the export's if not given.")


def main() -> None:
    number = predict.predict(
        SAVED_MODEL.value,
        IMAGES.value,
        out=OUT.value,
        questions=QUESTIONS.value,
        batch_size=BATCH_SIZE.value,
        tol=TOL.value,
    )
    print(f"wrote {number} rows to {OUT.value}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["saved_model", "images", "out"])
    command_line.run(main)
