"""Tables in files: CSV, Parquet and NumPy's .npz."""

from __future__ import annotations

import csv
import gzip
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfcnf.data.arrays import ArrayFile
from tfcnf.data.extras import train_extra

if TYPE_CHECKING:
    from pandas import DataFrame

SEPARATORS = ";\t|"


def read_table(path: str | Path) -> DataFrame:
    """The table of a file, its rows numbered from 1.

    Args:
        path: a ``.csv`` or ``.csv.gz`` with commas, a line of names and UTF-8, a
            ``.parquet``, or an ``.npz`` of arrays of equal length, one for each column.

    Raises:
        ValueError: for a file that is none of these, damaged, ragged, empty, or with
            a name that comes twice.
        ImportError: without pandas, or for Parquet without pyarrow.

    Example:
        ```python
        from tfcnf.data.table_files import read_table

        frame = read_table("galaxies.csv.gz")
        ```
    """
    name = str(path)
    readers: dict[str, Callable[[str], DataFrame]] = {
        ".csv": _read_csv,
        ".csv.gz": _read_csv,
        ".parquet": _read_parquet,
        ".npz": _read_arrays,
    }
    kind = next((end for end in readers if name.endswith(end)), None)
    if kind is None:
        raise ValueError(
            f"a table must be a file of the kind {', '.join(readers)}. "
            f"Received: data={name!r}"
        )
    if not Path(name).is_file():
        raise ValueError(f"there is no such file. Received: data={name!r}")
    with train_extra("reading tables", "table"):
        frame = readers[kind](name)
    if not len(frame) or not len(frame.columns):
        raise ValueError(f"a table must have rows. Received: data={name!r} without any")
    frame.index = range(1, len(frame) + 1)
    return frame


def _read_csv(name: str) -> DataFrame:
    import pandas as pd

    options: dict[str, Any] = {"encoding": "utf-8-sig", "index_col": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            header = pd.read_csv(name, header=None, nrows=1, dtype=str, **options)
            names = header.iloc[0].tolist()
            _check_names(name, names)
            frame = pd.read_csv(name, **options, low_memory=False)
            if frame.iloc[:, -1].isna().any():  # pandas fills short rows
                _check_lengths(name, len(names))
            return frame
    except pd.errors.EmptyDataError:
        failure = "it is empty"
    except UnicodeError:
        failure = "it is not in UTF-8"
    except pd.errors.ParserWarning:
        failure = "its rows are longer than the line of names"
    except pd.errors.ParserError as ragged:
        last = str(ragged).strip().rpartition("C error: ")[2]
        failure = f"its rows are not of equal length: {last}"
    except (OSError, EOFError) as broken:
        failure = f"it is damaged: {broken}"
    raise ValueError(f"a table cannot be read, {failure}. Received: data={name!r}")


def _check_lengths(name: str, width: int) -> None:
    """Refuses rows that are shorter than the line of names."""
    opened = gzip.open if name.endswith(".gz") else open
    with opened(name, "rt", encoding="utf-8-sig", newline="") as lines:
        for number, row in enumerate(filter(None, csv.reader(lines))):
            if len(row) < width:
                raise ValueError(
                    "a table cannot be read, its rows are not of equal length: "
                    f"expected {width} fields in row {number}, saw {len(row)}. "
                    f"Received: data={name!r}"
                )


def _check_names(name: str, names: list[Any]) -> None:
    """Refuses lines of names that are repeated, absent or separated otherwise."""
    separator = next((s for s in SEPARATORS if s in str(names[0])), None)
    if len(names) == 1 and separator:
        raise ValueError(
            "the columns of a CSV file are separated by commas. "
            f"Received: data={name!r} with {separator!r}"
        )
    texts = [text for text in names if isinstance(text, str) and text.strip()]
    if len(texts) < len(names):
        raise ValueError(
            "the first line of a CSV file names every column. "
            f"Received: data={name!r} without a name for column {_first_gap(names)}"
        )
    repeated = sorted({text for text in texts if texts.count(text) > 1})
    if repeated:
        raise ValueError(
            "columns must have different names. "
            f"Received: data={name!r} with {repeated[0]!r} more than once"
        )


def _first_gap(names: list[Any]) -> int:
    named = [isinstance(text, str) and bool(text.strip()) for text in names]
    return named.index(False)


def _read_parquet(name: str) -> DataFrame:
    import pandas as pd

    with train_extra("reading Parquet", "table"):
        import pyarrow
    try:
        return pd.read_parquet(name)
    except (OSError, ValueError, pyarrow.ArrowException) as failure:
        reason = str(failure).partition("\n")[0]
        raise ValueError(
            f"a table cannot be read, it is damaged: {reason}. Received: data={name!r}"
        ) from failure


def _read_arrays(name: str) -> DataFrame:
    import pandas as pd

    file = ArrayFile(Path(name))
    arrays = {key: file.read(key) for key in file.names}
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ValueError(
            "the arrays of a table must be columns of equal length. "
            f"Received: data={name!r} with shapes "
            f"{ {key: array.shape for key, array in arrays.items()} }"
        )
    return pd.DataFrame(arrays)
