"""Tables: from the columns of a DataFrame to examples, conditions and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.checks import check_choice
from tfcnf.data.columns import Column
from tfcnf.data.source import Split
from tfcnf.data.table_checks import check_density
from tfcnf.data.table_columns import pick_roles, read_context, read_labels, read_x
from tfcnf.data.table_source import TableSource
from tfcnf.data.table_splits import assigned_rows, random_rows

if TYPE_CHECKING:
    from pandas import DataFrame

MISSING = ("error", "drop")


def from_frame(
    frame: DataFrame,
    x: str | int | Sequence[str | int] = (),
    *,
    context: str | int | Sequence[str | int] = (),
    labels: str | int | Sequence[str | int] = (),
    kinds: Mapping[str, Any] | None = None,
    missing: str = "error",
    split: str | int = "",
    test: float = 0.1,
    validation: float = 0.1,
    seed: int = 0,
    whiten: bool = True,
    name: str = "table",
) -> TableSource:
    """Data of the rows of a pandas DataFrame.

    Columns of x are numbers: real, bounded on one or both sides, or integers. Those of
    the context are numbers, or categories that a model takes as one-hot vectors. Those
    of labels are classes (text, truth values, up to 20 different whole numbers) or
    numbers. What is found can be overridden by ``kinds``; see
    `tfcnf.data.table_kinds.parse_kind` for the words.

    Args:
        frame: the table. Its index names the rows in messages.
        x: names or places of the columns to model; all others if empty.
        context: columns of the condition.
        labels: columns of the supervised factors.
        kinds: kinds of columns by name, in words or as a `Column`.
        missing: ``"error"`` names the first missing value, ``"drop"`` leaves out rows
            that have one.
        split: column that says ``train``, ``validation`` or ``test``; the split is
            drawn by the seed if empty.
        test: part of the rows for the test split.
        validation: part of the rows for the validation split; 0 for none.
        seed: chooses the rows of each split.
        whiten: let models start from the linear Gaussian of x given the context, see
            `tfcnf.flows.whitening.Whitening`; needs ten rows for each number.
        name: of the data.

    Raises:
        ValueError: for unknown or repeated columns, values that are missing, not
            finite, outside their bounds or no numbers, columns without a density, or a
            split without rows.
        ImportError: without pandas.

    Example:
        ```python
        import pandas as pd

        frame = pd.DataFrame({"mass": [1.5, 2.1, 0.7] * 20, "kind": list("abb" * 20)})
        data = tfcnf.from_frame(frame, x=["mass"], labels=["kind"])
        model = tfcnf.CCNF(**data.model_keywords())
        ```
    """
    check_choice("missing", missing, MISSING)
    picked = pick_roles(frame, x=x, context=context, labels=labels, split=split)
    used = [column for columns in picked.values() for column in columns]
    _check_kinds(kinds or {}, used)
    frame, notes = _without_missing(frame[used], missing)
    chosen = {str(key): value for key, value in (kinds or {}).items()}
    columns, values = read_x(frame[picked["x"]], chosen)
    conditions, given = read_context(frame[picked["context"]], chosen)
    factors, y = read_labels(frame[picked["labels"]], chosen)
    if picked["split"]:
        rows = assigned_rows(frame[picked["split"][0]])
    else:
        rows = random_rows(len(frame), test, validation, seed)
    real = [i for i, column in enumerate(columns) if column.kind == "real"]
    train = rows["train"]
    check_density(
        {columns[i].name: values[train, i] for i in real},
        {
            column.name: given[train, i]
            for i, column in enumerate(conditions)
            if column.kind != "category"
        },
    )
    notes += _repeated_values(columns, values[train])
    splits = {
        key: Split(
            values[part].astype(np.float32),
            y[part],
            context=given[part].astype(np.float32) if conditions else None,
        )
        for key, part in rows.items()
    }
    return TableSource(
        name,
        splits["train"],
        splits["test"],
        factors,
        1,
        validation=splits.get("validation"),
        columns=columns,
        conditions=conditions,
        notes=tuple(notes),
        whiten=whiten,
    )


def _check_kinds(kinds: Mapping[str, Any], used: Sequence[Any]) -> None:
    unknown = [name for name in kinds if str(name) not in map(str, used)]
    if unknown:
        raise ValueError(
            "kinds must be of columns that are used. "
            f"Received: kinds={dict(kinds)}, columns {', '.join(map(str, used))}"
        )


def _without_missing(frame: DataFrame, missing: str) -> tuple[DataFrame, list[str]]:
    """The frame without rows that have a missing value, if that was asked for."""
    gaps = frame.isna()
    if not gaps.to_numpy().any():
        return frame, []
    bad = gaps.any(axis=1)
    if missing == "error" or bad.all():
        first = int(np.argmax(bad))
        column = frame.columns[int(np.argmax(gaps.iloc[first]))]
        raise ValueError(
            f"{int(bad.sum())} of {len(frame)} rows have a missing value; "
            "missing='drop' leaves them out. "
            f"Received: column {str(column)!r} without a value in row "
            f"{frame.index[first]}"
        )
    note = f"{int(bad.sum())} rows with missing values are left out"
    return frame[~bad], [note]


def _repeated_values(columns: Sequence[Column], x: np.ndarray) -> list[str]:
    """Notes on real columns of which one value is frequent."""
    notes = []
    for column, values in zip(columns, x.T, strict=True):
        found, counts = np.unique(values, return_counts=True)
        share = counts.max() / len(values)
        if column.kind == "real" and share > 0.05 and len(values) >= 100:
            notes.append(
                f"{share:.0%} of {column.name} are {found[counts.argmax()]:g}: a "
                "density grows without end there; is it an integer?"
            )
    return notes
