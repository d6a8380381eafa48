"""Diagnostics of a trained run: measures and arrays in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfcnf.checks import check_choice
from tfcnf.diagnostics import Diagnostic
from tfcnf.files import save_arrays, write_json
from tfcnf.models.failures import named_failures
from tfcnf.runs import trained_run
from tfcnf.runs.folder import read_config


@named_failures()
def evaluate(
    workdir: str,
    names: Sequence[str],
    tol: float,
    data_dir: str | None = None,
    data: str | None = None,
    changed_data: bool = False,
) -> dict[str, dict[str, float]]:
    """Computes diagnostics of a run and prints their measures.

    Each leaves ``NAME.json``, its measures and the tolerance, and ``NAME.npz``, the
    arrays that its figures are drawn from.

    Args:
        workdir: run folder.
        names: keys of diagnostics.
        tol: solver tolerance.
        data_dir: of tensorflow-datasets; with it, digits are also told from MNIST and
            MNIST from digits.
        data: see `tfcnf.runs.trained_run.read_data`.
        changed_data: see there; the files then are ``NAME_changed_data``.

    Returns:
        The measures by name of the diagnostic.

    Raises:
        ValueError: for an unknown name, or a diagnostic that the data or the model of
            the run are not made for.
    """
    for name in names:
        check_choice("uses", name, Diagnostic.known)
    config = read_config(workdir)
    chosen = [Diagnostic.find(name).of_run(config, data_dir) for name in names]
    source, suffix = trained_run.read_data(workdir, data_dir, data, changed_data)
    for diagnostic in chosen:
        diagnostic.check(source)
    model = trained_run.load_model(workdir, source)
    results = {}
    for diagnostic in chosen:
        name, arrays = diagnostic.key, diagnostic.compute(model, source, tol=tol)
        results[name] = dict(diagnostic.measures(arrays)) | {"tolerance": tol}
        save_arrays(Path(workdir) / f"{name}{suffix}.npz", arrays)
        write_json(Path(workdir) / f"{name}{suffix}.json", results[name])
        for measure, value in results[name].items():
            print(f"{name}/{measure}: {value:.4g}", flush=True)
    return results
