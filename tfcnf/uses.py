"""Diagnostics of a trained run: measures and arrays in its folder."""

from __future__ import annotations

from collections.abc import Sequence

from tfcnf.checks import check_choice
from tfcnf.diagnostics import Diagnostic
from tfcnf.files import save_arrays, write_json
from tfcnf.models.failures import named_failures
from tfcnf.runs.run import Run


@named_failures()
def evaluate(
    workdir: str,
    names: Sequence[str],
    *,
    tol: float,
    data_dir: str | None = None,
    data: str | None = None,
    changed_data: bool = False,
    weights: str | None = None,
    best: bool | None = None,
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
        data: where they are now, see `Run`.
        changed_data: see there; the files then are ``NAME_changed_data``.
        weights: see there.
        best: see there; of a newest checkpoint that validation did not choose the files
            are ``NAME_last``.

    Returns:
        The measures by name of the diagnostic.

    Raises:
        ValueError: for an unknown name, or a diagnostic that the data or the model of
            the run are not made for.
    """
    for name in names:
        check_choice("uses", name, Diagnostic.known)
    run = Run(
        workdir,
        data_dir=data_dir,
        moved_to=data,
        changed_data=changed_data,
        weights=weights,
        best=best,
    )
    chosen = [Diagnostic.find(name).of_run(run.config, data_dir) for name in names]
    for diagnostic in chosen:
        diagnostic.check(run.source)
    results = {}
    for diagnostic in chosen:
        name = diagnostic.key
        arrays = diagnostic.compute(run.model, run.source, tol=tol)
        results[name] = dict(diagnostic.measures(arrays)) | {"tolerance": tol}
        save_arrays(run.folder / f"{name}{run.suffix}.npz", arrays)
        write_json(run.folder / f"{name}{run.suffix}.json", results[name])
        for measure, value in results[name].items():
            print(f"{name}/{measure}: {value:.4g}", flush=True)
        for sentence in diagnostic.verdict(results[name]):
            print(sentence, flush=True)
    return results
