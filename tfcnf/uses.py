"""What a trained flow on images is used for: measures and arrays in its run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfcnf.checks import check_choice
from tfcnf.data.series import SeriesSource
from tfcnf.data.source import DataSource
from tfcnf.evaluation.calibration import calibration_arrays, calibration_measures
from tfcnf.evaluation.gallery import gallery_arrays, gallery_measures
from tfcnf.evaluation.outliers import outlier_arrays, outlier_measures
from tfcnf.files import write_json
from tfcnf.models.failures import named_failures
from tfcnf.models.infocnf import InfoCNF
from tfcnf.runs import trained_run
from tfcnf.studies import save_arrays

Arrays = dict[str, np.ndarray]


class Use(NamedTuple):
    """An evaluator in two steps: what a model gives, and the measures of that."""

    arrays: Callable[[InfoCNF, DataSource, float], Arrays]
    measures: Callable[[Mapping[str, np.ndarray]], Iterator[tuple[str, float]]]


USES = {
    "calibration": Use(calibration_arrays, calibration_measures),
    "outliers": Use(outlier_arrays, outlier_measures),
    "gallery": Use(gallery_arrays, gallery_measures),
}


@named_failures()
def evaluate(
    workdir: str,
    names: Sequence[str],
    tol: float,
    data_dir: str | None = None,
    data: str | None = None,
    changed_data: bool = False,
) -> dict[str, dict[str, Any]]:
    """Evaluates uses of a run on images and prints their measures.

    Each leaves ``NAME.json``, its measures and the tolerance, and ``NAME.npz``, the
    arrays that its figures are drawn from.

    Args:
        workdir: run folder.
        names: of `USES`.
        tol: solver tolerance.
        data_dir: of tensorflow-datasets; with it, digits are also told from MNIST and
            MNIST from digits.
        data: see `tfcnf.runs.trained_run.read_data`.
        changed_data: see there; the files then are ``NAME_changed_data``.

    Returns:
        The measures by name of the use.

    Raises:
        ValueError: for an unknown use, a run that is not on images, or a use that its
            model is not made for.
    """
    for name in names:
        check_choice("uses", name, USES)
    source, suffix = trained_run.read_data(workdir, data_dir, data, changed_data)
    if isinstance(source, SeriesSource) or source.num_levels == 1:
        raise ValueError(
            f"only runs on images have uses. Received: data={source.name!r}"
        )
    model = trained_run.load_model(workdir, source)
    results = {}
    for name in names:
        use = USES[name]
        more = {"data_dir": data_dir} if name == "outliers" else {}
        arrays = use.arrays(model, source, tol, **more)
        results[name] = dict(use.measures(arrays)) | {"tolerance": tol}
        save_arrays(Path(workdir) / f"{name}{suffix}.npz", arrays)
        write_json(Path(workdir) / f"{name}{suffix}.json", results[name])
        for measure, value in results[name].items():
            print(f"{name}/{measure}: {value:.4g}", flush=True)
    return results
