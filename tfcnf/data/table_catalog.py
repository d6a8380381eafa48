"""Tables by name, and in files, with their columns in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tfcnf.data.extras import train_extra
from tfcnf.data.table_files import read_table
from tfcnf.data.table_source import TableSource
from tfcnf.data.tables import from_frame

if TYPE_CHECKING:
    from pandas import DataFrame


class Table(NamedTuple):
    """A table and the columns that it is usually used with.

    Attributes:
        frame: the table.
        x: columns to model; all others if empty.
        context: columns of the condition.
        labels: columns of the labels.
    """

    frame: DataFrame
    x: Sequence[str] = ()
    context: Sequence[str] = ()
    labels: Sequence[str] = ()


def _diabetes() -> Table:
    """Progress of diabetes of 442 people, given ten covariates."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes(as_frame=True, scaled=False)
    return Table(data.frame, ["target"], list(data.data.columns))


def _wine() -> Table:
    """Thirteen measures of 178 wines of three growers."""
    from sklearn.datasets import load_wine

    frame = load_wine(as_frame=True).frame.rename(columns={"target": "grower"})
    return Table(frame, labels=["grower"])


def _breast_cancer() -> Table:
    """Eight measures of 569 tumours; perimeter and area follow from the radius."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    names = dict(enumerate(data.target_names))
    frame = data.frame.assign(tumour=data.target.map(names)).drop(columns="target")
    left_out = ("mean perimeter", "mean area")
    means = [n for n in frame if n.startswith("mean ") and n not in left_out]
    return Table(frame, means, labels=["tumour"])


TABLES: dict[str, Callable[[], Table]] = {
    "diabetes": _diabetes,
    "wine": _wine,
    "breast_cancer": _breast_cancer,
}


def load(
    data: str,
    *,
    x: str = "",
    context: str = "",
    labels: str = "",
    kinds: str = "",
    missing: str = "error",
    split: str = "",
    test: float = 0.1,
    seed: int = 0,
    whiten: bool = True,
) -> TableSource:
    """A table of scikit-learn or of a file, see `tfcnf.data.tables.from_frame`.

    A validation split is there if a column says so.

    Args:
        data: ``"diabetes"``, ``"wine"`` or ``"breast_cancer"``, or the path of a file
            as `tfcnf.data.table_files.read_table` takes them.
        x: names or places of columns, with commas between them; of the tables by name
            their usual ones if x, context and labels are all empty.
        context: as x.
        labels: as x.
        kinds: ``NAME=KIND`` with commas between them.
        missing: see `from_frame`, as what follows.
        split: see above.
        test: see above.
        seed: see above.
        whiten: see above.

    Raises:
        ValueError: as `from_frame` and `read_table`.
        ImportError: without pandas or scikit-learn.
    """
    if data in TABLES:
        with train_extra(f"the table {data}", "table"):
            table = TABLES[data]()
    else:
        table = Table(read_table(data))
    given = [listed(words) for words in (x, context, labels)]
    if not any(given):
        given = [list(table.x), list(table.context), list(table.labels)]
    return from_frame(
        table.frame,
        given[0],
        context=given[1],
        labels=given[2],
        kinds=pairs_of(kinds),
        missing=missing,
        split=split,
        test=test,
        validation=0.0,
        seed=seed,
        whiten=whiten,
        name=data,
    )


def listed(words: Any) -> list[str]:
    """Words with commas between them, as a list."""
    parts = words.split(",") if isinstance(words, str) else [str(w) for w in words]
    return [part.strip() for part in parts if part.strip()]


def pairs_of(words: str) -> dict[str, str]:
    """``NAME=KIND`` with commas between them, as a dictionary.

    Raises:
        ValueError: for anything else.
    """
    pairs = [word.partition("=") for word in listed(words)]
    if not all(equals and kind for _, equals, kind in pairs):
        raise ValueError(
            "kinds must be NAME=KIND, with commas between them. "
            f"Received: kinds={words!r}"
        )
    return {name.strip(): kind.strip() for name, _, kind in pairs}
