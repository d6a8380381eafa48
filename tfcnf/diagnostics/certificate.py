"""Is a trained flow an ODE and a density at its tolerance (Ott et al. 2021)?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfcnf.diagnostics.base import Arrays, Diagnostic, new_axes
from tfcnf.diagnostics.verdict import JUDGED, OWN, sentences

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tfcnf.data.source import DataSource
    from tfcnf.models.inference import Inference

TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4)
LIMIT = 1e-3
HEADS = {
    "tolerance": "tolerance",
    "evaluations": "evaluations",
    "change": "likelihood, 100x tighter",
    "error_change": "error, 100x tighter",
    "method_change": "likelihood, other method",
    "method_error_change": "error, other method",
    "inversion": "|x - decode(encode(x))|",
    "mass_error": "|mass - 1|",
    "approach": "closest approach",
    "approach_change": "its change",
}
NUMBERS = {*JUDGED, "approach"}  # with a standard error


class Certificate(Diagnostic):
    """Numbers that vanish where a flow is the ODE that it is told to be.

    At each tolerance, on one batch with fixed noise: the change of the likelihood
    (bits/dim, of tables nats) and of the error (a fraction) against a tolerance 100
    times tighter and against another pair of Runge-Kutta formulas; the largest
    ``|x - decode(encode(x))|`` of an example (of images in [0, 1], of vectors in
    standard deviations); the distance of the total mass from 1 (the area over the box
    of points in one or two dimensions, otherwise E[p / q] over samples of the same flow
    at a tight tolerance); and the closest approach of neighbours on their way, in units
    of their first distance, with its change against the tight solution. Each has its
    standard error, the area the error of its grid. A number is within the limit unless
    it is beyond by more than two of them. Above 16 dimensions the mass is that of the
    estimated trace, with the same noise in p and q.

    Example:
        ```python
        from tfcnf.diagnostics import Certificate

        certificate = Certificate(examples=8)
        arrays = certificate.compute(model, data)
        measures = dict(certificate.measures(arrays))
        measures["trained/mass_error"], measures["1e-05/mass_error"]
        print(*certificate.verdict(measures))
        certificate.plot(arrays)
        ```

    Args:
        tols: tolerances that are tried besides the model's own and that of `compute`.
        examples: size of the batch.
        limit: largest number that is taken for 0.
        pairs: neighbours that are followed.
    """

    title = "Certificate"
    caption = (
        "Numbers that vanish where the model is an ODE and a density, by the tolerance "
        "of its solver. ± is a standard error."
    )
    columns = {
        key: title
        for name, head in HEADS.items()
        for key, title in [(name, head), (f"{name}_se", "±")]
        if key in HEADS or name in NUMBERS
    }
    subject = "flows, which can be sampled from"

    def __init__(
        self,
        tols: Sequence[float] = TOLERANCES,
        *,
        examples: int = 128,
        limit: float = LIMIT,
        pairs: int = 16,
    ):
        self.tols, self.examples = tuple(tols), examples
        self.limit, self.pairs = limit, pairs

    def takes(self, data: Any) -> bool:
        """True where the data are for flows."""
        from tfcnf.data.source import DataSource

        return isinstance(data, DataSource)

    def compute(
        self, model: Inference, data: DataSource, *, tol: float = 1e-5
    ) -> dict[str, np.ndarray]:
        """The numbers at each tolerance.

        Args:
            model: a flow.
            data: its data, of whose test split the batch is.
            tol: one more tolerance to try.

        Returns:
            ``"rows"``: ``"trained"``, or ``"learned"`` where tolerances are drawn, and
            the tolerances tried, ``[R]``; by name of a number its values ``[R]`` and,
            with ``_se``, their standard errors; ``"tolerance"``, the loosest of the
            CNFs, and ``"evaluations"`` of a forward pass, ``[R]``; ``"limit"``.

        Raises:
            ValueError: for data, or a model, that it is not for.
            SolverError: where a solve fails.
        """
        self.check(data)
        solves = getattr(getattr(model, "flow", None), "num_solves", 0)
        if not hasattr(model, "sample") or not solves:
            raise _unfit(model)
        try:
            return self._compute(model, data, tol)
        except NotImplementedError:
            raise _unfit(model) from None

    def _compute(
        self, model: Inference, data: DataSource, tol: float
    ) -> dict[str, np.ndarray]:
        from tfcnf.evaluation.certify import Certifier
        from tfcnf.evaluation.solves import Solves

        count = min(self.examples, len(data.test))
        chosen = np.linspace(0, len(data.test) - 1, count).astype(int)
        solves = Solves(model, data.test.take(chosen))
        rows = {tuple(OWN)[bool(model.samples_tolerances)]: solves.own_tolerances}
        for value in sorted({*self.tols, tol}, reverse=True):
            rows[f"{value:g}"] = np.full(model.flow.num_solves, value)
        certifier = Certifier(solves, data, list(rows.values()), self.pairs)
        found = [certifier.numbers(value) for value in rows.values()]
        arrays = {name: np.array([row[name] for row in found]) for name in found[0]}
        return arrays | {"rows": np.array(list(rows)), "limit": np.array(self.limit)}

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """Yields ``ROW/NAME``, ``ROW/NAME_se`` and ``limit``."""
        for i, row in enumerate(arrays["rows"]):
            for name, values in arrays.items():
                if name not in ("rows", "limit"):
                    yield f"{row}/{name}", float(values[i])
        yield "limit", float(arrays["limit"])

    @classmethod
    def verdict(cls, measures: Mapping[str, Any]) -> list[str]:
        """Sentences: the loosest tolerance that holds, and whether its own one does."""
        return list(sentences(measures))

    def plot(self, arrays: Arrays, ax: Axes | None = None) -> Axes:
        """Draws the judged numbers against the tolerance, and the limit."""
        ax = new_axes(ax)
        order = np.argsort(arrays["tolerance"])
        tols = arrays["tolerance"][order]
        for name in filter(arrays.__contains__, JUDGED):
            values = np.maximum(arrays[name][order], 1e-9)
            ax.loglog(tols, values, marker="o", label=HEADS[name])
        ax.axhline(float(arrays["limit"]), color="grey", linestyle=":", label="limit")
        own = str(arrays["rows"][0])
        ax.axvline(
            float(arrays["tolerance"][0]), color="black", linestyle="--", label=own
        )
        ax.set(xlabel="tolerance")
        ax.grid(alpha=0.3)
        ax.legend(fontsize="x-small")
        return ax


def _unfit(model: Any) -> ValueError:
    return ValueError(
        "a certificate is of a flow that solves an ODE and can be sampled from. "
        f"Received: model={getattr(model, 'name', model)!r}"
    )
