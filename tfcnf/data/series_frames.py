"""Series in long tables: a row for each point of a subject in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tfcnf.data.series import (
    Series,
    SeriesColumns,
    SeriesSource,
    SeriesSplit,
    pad_series,
)
from tfcnf.data.table_catalog import listed, pairs_of
from tfcnf.data.table_columns import (
    check_complete,
    finite_numbers,
    pick,
    pick_roles,
    read_labels,
)
from tfcnf.data.table_files import read_table
from tfcnf.data.table_kinds import is_text, shown
from tfcnf.data.table_splits import assigned_rows, random_rows

if TYPE_CHECKING:
    import pandas as pd

DAY = np.timedelta64(1, "D")


class Subjects(NamedTuple):
    """The series of a long table, one for each subject, in the order of the table.

    Attributes:
        names: of the n subjects.
        rows: the first row of each in the table, counted from 0, ``[n]``.
        x: their series.
        first: time of the first observed point of each, float64 ``[n]``, in days
            since ``origin`` where the table has dates.
        origin: the first date of the table; None where times are numbers.
    """

    names: list[str]
    rows: np.ndarray
    x: Series
    first: np.ndarray
    origin: np.datetime64 | None

    def stamps(self, elapsed: np.ndarray) -> np.ndarray:
        """Times as the table has them, from those since each first point, ``[n]``."""
        times = self.first + elapsed
        if self.origin is None:
            return times
        seconds = np.round(times * 86_400).astype("timedelta64[s]")
        return self.origin.astype("datetime64[s]") + seconds


def series_from_frame(
    frame: pd.DataFrame,
    x: str | int | Sequence[str | int] = (),
    *,
    subject: str | int,
    time: str | int,
    labels: str | int | Sequence[str | int] = (),
    kinds: Mapping[str, Any] | None = None,
    split: str | int = "",
    test: float = 0.1,
    validation: float = 0.1,
    seed: int = 0,
    name: str = "series",
) -> SeriesSource:
    """Data of a pandas DataFrame with a row for each point of a series.

    Rows may stand in any order. An empty cell of a value is a missing value. Models of
    the data get units, so that values and times are in the table's own.

    Args:
        frame: the table. Its index names the rows in messages.
        x: names or places of the columns of the numbers of a point; all others if
            empty.
        subject: column that says which series a row is of.
        time: column of the times: numbers, or dates in ISO 8601, which count in days
            (those with a time zone in UTC).
        labels: columns of the labels, the same in all rows of a subject: classes or
            numbers, as `tfcnf.data.tables.from_frame` finds them.
        kinds: kinds of labels by name, ``"category"`` or ``"real"``.
        split: column that says ``train``, ``validation`` or ``test``, the same in all
            rows of a subject; the split is drawn by the seed if empty.
        test: part of the subjects for the test split.
        validation: part of the subjects for the validation split; 0 for none.
        seed: chooses the subjects of each split.
        name: of the data.

    Raises:
        ValueError: for unknown or repeated columns, a subject, time or label that is
            missing, values that are no finite numbers, two points of a subject at the
            same time, labels that differ within a subject, or a split without any.
        ImportError: without pandas.

    Example:
        ```python
        import pandas as pd

        rows = {"plant": list("aabbcc"), "day": [0, 2, 0, 3, 1, 2]}
        frame = pd.DataFrame(rows | {"height": [1.0, 2.5, 0.7, 3.1, 1.9, 2.2]})
        options = {"test": 0.3, "validation": 0.0}
        data = tfcnf.series_from_frame(frame, subject="plant", time="day", **options)
        model = tfcnf.LatentODE(**data.model_keywords(), partition="none")
        ```
    """
    picked = pick_roles(
        frame, subject=subject, time=time, x=x, labels=labels, split=split
    )
    for role in ("subject", "time"):
        if len(picked[role]) != 1:
            raise ValueError(
                f"{role} must be one column. Received: {role}={picked[role]}"
            )
    columns = SeriesColumns(
        str(picked["subject"][0]), str(picked["time"][0]), tuple(map(str, picked["x"]))
    )
    label_names, split_names = picked["labels"], picked["split"]
    kinds = {str(key): kind for key, kind in (kinds or {}).items()}
    unknown = set(kinds) - set(map(str, label_names))
    if unknown:
        raise ValueError(
            "kinds must be of labels. "
            f"Received: kinds={kinds}, labels {', '.join(map(str, label_names))}"
        )
    found = read_subjects(frame, columns)
    told = _told(frame, columns, found, [*label_names, *split_names])
    factors, y = read_labels(told[label_names], kinds)
    if split_names:
        places = assigned_rows(told[split_names[0]])
    else:
        places = random_rows(len(told), test, validation, seed)
    splits = {
        key: SeriesSplit(Series(*(part[rows] for part in found.x)), y[rows])
        for key, rows in places.items()
    }
    return SeriesSource(
        name,
        splits["train"],
        splits["test"],
        {},
        tuple(factors),
        window=float(splits["train"].x.times.max()),
        standardise=True,
        validation=splits.get("validation"),
        table_columns=columns,
    )


def load(
    data: str,
    *,
    x: str = "",
    subject: str = "",
    time: str = "",
    labels: str = "",
    kinds: str = "",
    split: str = "",
    test: float = 0.1,
    seed: int = 0,
) -> SeriesSource:
    """Series of a file, see `series_from_frame`.

    A validation split is there if a column says so.

    Args:
        data: path of a file as `tfcnf.data.table_files.read_table` takes them.
        x: names or places of columns, with commas between them; all others if empty.
        subject: name or place of a column.
        time: as subject.
        labels: as x; none if empty.
        kinds: ``NAME=KIND`` with commas between them, of labels.
        split: see above.
        test: see above.
        seed: see above.

    Raises:
        ValueError: as `series_from_frame` and `read_table`.
        ImportError: without pandas.
    """
    frame = read_table(data)
    if not subject or not time:
        raise ValueError(
            "series of a file need config.series.subject and config.series.time, names "
            f"of its columns ({', '.join(map(str, frame.columns))}). "
            f"Received: subject={subject!r}, time={time!r}"
        )
    return series_from_frame(
        frame,
        listed(x),
        subject=subject,
        time=time,
        labels=listed(labels),
        kinds=pairs_of(kinds),
        split=split,
        test=test,
        validation=0.0,
        seed=seed,
        name=data,
    )


def read_subjects(frame: pd.DataFrame, columns: SeriesColumns) -> Subjects:
    """The series of a long table.

    Raises:
        ValueError: for a column that is not there, a subject or a time that is missing,
            values that are no finite numbers, a subject without a value, or two points
            of one at the same time.
    """
    import pandas as pd

    names = list(frame.columns)
    subject, time, *values = (pick(names, column) for column in columns.names)
    check_complete(frame, subject)
    codes, subjects = pd.factorize(frame[subject])
    rows = np.unique(codes, return_index=True)[1]
    times, origin = _times(frame, time)
    points = np.stack([finite_numbers(frame, name, missing=True) for name in values], 1)
    order = np.lexsort((times, codes))
    codes, times, points = codes[order], times[order], points[order]
    same = (codes[1:] == codes[:-1]) & (times[1:] == times[:-1])
    if same.any():
        first = order[int(np.argmax(same)) + 1]
        raise ValueError(
            "a subject must have one row a time. Received: another of "
            f"{subject}={frame[subject].iloc[first]!s} at "
            f"{time}={frame[time].iloc[first]!s} in row {frame.index[first]}"
        )
    seen = ~np.isnan(points).all(1)
    known = np.bincount(codes[seen], minlength=len(subjects)) > 0
    if not known.all():
        raise ValueError(
            "every subject must have a value. "
            f"Received: {subject}={subjects[int(np.argmin(known))]!s} without any"
        )
    codes, times, points = codes[seen], times[seen], points[seen]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    x = pad_series(np.split(points, starts[1:]), np.split(times, starts[1:]))
    return Subjects([shown(each) for each in subjects], rows, x, times[starts], origin)


def _times(frame: pd.DataFrame, name: Any) -> tuple[np.ndarray, np.datetime64 | None]:
    """Finite times ``[n]``, and the first date, where they are dates."""
    import pandas as pd

    column = frame[name]
    check_complete(frame, name)
    if not (pd.api.types.is_datetime64_any_dtype(column) or is_text(column)):
        return finite_numbers(frame, name), None
    dates = pd.to_datetime(column, format="ISO8601", utc=True, errors="coerce")
    if dates.isna().any():
        first = int(np.argmax(dates.isna()))
        raise ValueError(
            f"column {str(name)!r} must be numbers, or dates such as 2024-05-31 or "
            f"2024-05-31T18:00. Received: {column.iloc[first]!s} in row "
            f"{frame.index[first]}"
        )
    stamps = dates.dt.tz_localize(None).to_numpy()
    return (stamps - stamps.min()) / DAY, stamps.min()


def _told(
    frame: pd.DataFrame, columns: SeriesColumns, found: Subjects, names: Sequence[Any]
) -> pd.DataFrame:
    """A row for each subject, of columns that must be the same in all of its rows."""
    subject = pick(list(frame.columns), columns.subject)
    for name in names:
        check_complete(frame, name)
        differing = (
            frame.groupby(subject, sort=False, observed=True)[name].nunique() > 1
        )
        if differing.any():
            raise ValueError(
                f"column {str(name)!r} must be the same in all rows of a subject. "
                f"Received: several for {subject}={differing.idxmax()!s}"
            )
    return frame[list(names)].iloc[found.rows]
