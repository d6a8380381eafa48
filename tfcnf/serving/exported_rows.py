"""An export of a model of tables, asked about many rows."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfcnf.data.columns import make_columns
from tfcnf.labels.categorical import Categorical
from tfcnf.labels.kinds import make_labels
from tfcnf.records import read_record
from tfcnf.serving.export import IMAGES, TABLE
from tfcnf.serving.requests import requested
from tfcnf.tolerances.policy import check_tolerance


class ExportedRows:
    """Answers of an export of a table, see `tfcnf.serving.row_answers.Rows`.

    Args:
        saved_model: folder that `launch/export.py` made.
        tol: solver tolerance; the export's if None.
        seed: of samples: the same gives the same ones, whatever the batches are.
        batch_size: rows asked about at a time.
        steps: ``"shared"`` or ``"each"``; the export's default if None.

    Raises:
        ValueError: for another folder, or an export without named columns.
    """

    def __init__(
        self,
        saved_model: str,
        *,
        tol: float | None = None,
        seed: int = 0,
        batch_size: int = 500,
        steps: str | None = None,
    ):
        folder = Path(saved_model)
        path = folder / "assets" / TABLE
        if not (path.is_file() and (folder / "saved_model.pb").is_file()):
            images = path.with_name(IMAGES).is_file()
            hint = "; one of images answers about --images" * images
            raise ValueError(
                f"the folder must be an export of a run on a table{hint}. "
                f"Received: saved_model={saved_model!r}"
            )
        record = read_record(path, {"columns": list, "context": list, "labels": list})
        self.columns = make_columns(record["columns"])
        self.context = make_columns(record["context"])
        self.labels = make_labels(record["labels"])
        if not self.columns:
            raise ValueError(
                "the columns of the export have no names; ask its functions in Python. "
                f"Received: saved_model={saved_model!r}"
            )
        self.options: dict[str, Any] = {}
        if tol is not None:
            self.options["tol"] = check_tolerance("tol", tol)
        if steps is not None:
            self.options["steps"] = steps
        self.saved_model = saved_model
        self.seed, self.batch_size = seed, batch_size

    @cached_property
    def module(self) -> Any:
        """The SavedModel, loaded once a table is known to be good."""
        return tf.saved_model.load(self.saved_model)

    def log_prob(self, x: np.ndarray, y: Any, context: Any) -> np.ndarray:
        """log p(x | y, context), ``[n]`` nats, as the export averages its noise."""
        given = {"x": x, "label": y, "context": context}
        return self._ask("log_prob", given)["log_prob_nats"]

    def predict(self, x: np.ndarray, context: Any) -> np.ndarray:
        """Label values, see `Rows.predict`."""
        given = {"x": x, "context": context}
        if not all(isinstance(label, Categorical) for label in self.labels):
            found = self._ask("predict_labels", given)
            names = [f"label{end}_own_units" for end in ("", "_low", "_high")]
            return np.stack([found[name] for name in names if name in found], 2)
        found = self._ask("classify", given)
        factors = range(len(self.labels))
        ends = [f"_{i}" for i in factors] if len(factors) > 1 else [""]
        each = [found[f"discriminative_class{end}"] for end in ends]
        return np.stack(each, 1)[:, :, None]

    def sample(self, count: int, y: Any, context: Any) -> np.ndarray:
        """One example for each of ``count`` rows, ``[count, D]``."""
        first = np.random.SeedSequence(self.seed).generate_state(1)[0]
        seeds = (first + np.arange(count)).astype(np.uint32).view(np.int32)
        given = {"label": y, "context": context, "seed": seeds}
        return self._ask("sample", given)["x_own_units"]

    def _ask(self, question: str, given: dict[str, Any]) -> dict[str, np.ndarray]:
        given = {key: value for key, value in given.items() if value is not None}
        count = len(next(iter(given.values())))
        parts = []
        for start in range(0, count, self.batch_size):
            end = min(start + self.batch_size, count)
            part = {key: value[start:end] for key, value in given.items()}
            if question == "sample" and not self.labels:
                part["num"] = np.int32(end - start)
            with requested(f"rows {start} to {end - 1}"):
                found = getattr(self.module, question)(**part, **self.options)
            parts.append(found)
        names = parts[0]
        return {name: np.concatenate([p[name] for p in parts]) for name in names}
