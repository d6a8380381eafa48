"""Rows of a table: p(x | context, label) in the table's own units.

    python launch/train.py --config=configs/table.py --workdir=runs/diabetes
    python launch/train.py --config=configs/table.py:data=wine,model=infocnf \\
        --workdir=runs/wine
    python launch/train.py --config=configs/table.py --config.data=galaxies.csv.gz \\
        --config.table.x=u,g,r --config.table.context=redshift --workdir=runs/galaxies
    python launch/predict.py --workdir=runs/diabetes --table=FILE.csv --out=answers.csv

The default is the progress of diabetes given ten covariates (442 rows, embedded in
scikit-learn). ``table.x``, ``table.context`` and ``table.labels`` name columns of a
CSV, Parquet or .npz file, with commas between them; ``table.kinds=mass=positive,
share=0..1,visits=integer:0..`` says what is not found right; ``table.missing=drop``
leaves out rows with a missing value; ``table.split`` is a column that says train,
validation or test, else a part ``table.test`` of the rows is drawn by ``table.seed``;
``table.whiten=False`` leaves out the linear step behind the units of the columns.

Part of the training rows choose the epoch (``training.validation``), and end the
training where it gets no better (``training.patience``).

Variants: data=diabetes|wine|breast_cancer, model=cnf|infocnf|ccnf (with labels),
policy=fixed|scheduled|random|adapted|learned, smoke (seconds, to see that all works).
"""

import ml_collections

from tfcnf.runs.config import (
    PAPER_VARIANTS,
    default_config,
    parse_variant,
    table_config,
)


def get_config(variant: str | None = None) -> ml_collections.ConfigDict:
    choice = parse_variant(
        variant,
        {
            "data": ("diabetes", "wine", "breast_cancer"),
            "model": ("cnf", "infocnf", "ccnf"),
            "policy": PAPER_VARIANTS["policy"],
            "smoke": (False, True),
        },
    )
    config = ml_collections.ConfigDict(
        default_config(choice["model"], choice["policy"])
    )
    config.update(table_config(choice["data"], choice["smoke"]))
    return config.lock()
