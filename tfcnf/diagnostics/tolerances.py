"""Evaluation at the tolerances that a model's own policies give (InfoCNF App. D)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tfcnf.checks import check_choice
from tfcnf.diagnostics.base import Arrays, Diagnostic, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tfcnf.data.source import DataSource
    from tfcnf.models.infocnf import InfoCNF
    from tfcnf.types import Tensor, Weighted

BATCH_SIZES = (1, 10, 100, 1000)
MOST_BATCHES = 500
MOST_EXAMPLES = 5_000  # whose tolerances are shown; MNIST has twelve times as many
SHOWN_BATCHES = 20
MODES = {"mean": 0.0, "sampled": 1.0}  # `Control.sample_tol`


class LearnedTolerances(Diagnostic, key="learned_tolerances"):
    """The tolerances that a model's own policies give, and its measures at them.

    Example:
        ```python
        from tfcnf.diagnostics import LearnedTolerances

        tolerances = LearnedTolerances(batch_sizes=(1, 10))
        arrays = tolerances.compute(model, data)
        measures = dict(tolerances.measures(arrays))
        measures["mean/batch_10/nfe_forward"]
        tolerances.plot(arrays)
        ```

    Args:
        batch_sizes: examples that share a tolerance where the model is measured.
        batch_size: examples that share one where the tolerances alone are shown.
        draws: samples for each batch that are shown.
    """

    title = "Learned tolerances"
    caption = (
        "Tolerances that the model's own policies give each CNF, and its measures at "
        "them by the size of the batch."
    )
    columns = {
        "test_error": "error (%)",
        "bits_per_dim": "bits/dim",
        "nfe_forward": "function evaluations",
    }
    subject = "flows"

    def __init__(
        self,
        batch_sizes: Sequence[int] = BATCH_SIZES,
        *,
        batch_size: int = 100,
        draws: int = 10,
    ):
        self.batch_sizes, self.batch_size, self.draws = batch_sizes, batch_size, draws

    @classmethod
    def of_run(cls, config: Mapping[str, Any], data_dir: str | None = None) -> Self:
        """The diagnostic with the batch size of the training."""
        return cls(batch_size=config["training"]["batch_size"])

    def takes(self, data: Any) -> bool:
        """True where the data are for flows."""
        from tfcnf.data.source import DataSource

        return isinstance(data, DataSource)

    def compute(
        self, model: InfoCNF, data: DataSource, *, tol: float = 1e-5
    ) -> dict[str, np.ndarray]:
        """Measures of the test split, and tolerances of both.

        Args:
            model: a model with a policy that samples.
            data: its data.
            tol: not used; the tolerances are the model's own.

        Returns:
            Each measure of `ToleranceEvaluator.run` by its name, ``[]``; and
            ``"SPLIT/sampled"`` and ``"SPLIT/mean"``, tolerances of each batch and
            layer, ``[n, N]``.

        Raises:
            ValueError: for a model whose tolerances are constants.
        """
        self.check(data)
        if not model.samples_tolerances:
            raise ValueError(
                "the model has neither random nor learned tolerances. "
                f"Received: model={model.name!r}"
            )
        evaluator = ToleranceEvaluator(model, data)
        run = evaluator.run(self.batch_sizes)
        return {name: np.array(value) for name, value in run} | {
            f"{split}/{mode}": evaluator.distribution(
                split, self.batch_size, mode, self.draws if sample else 1
            )
            for split in data.splits
            for mode, sample in MODES.items()
        }

    def measures(self, arrays: Arrays) -> Iterator[tuple[str, float]]:
        """The measures of `ToleranceEvaluator.run`."""
        for name, values in arrays.items():
            if not values.ndim:
                yield name, values.item()

    def plot(self, arrays: Arrays, ax: Axes | None = None) -> Axes:
        """Draws the sampled tolerances of each CNF on both splits (Fig. 2b)."""
        ax = new_axes(ax)
        for shift, split, color in [
            (-0.18, "train", "tab:blue"),
            (0.18, "test", "tab:red"),
        ]:
            tols = arrays[f"{split}/sampled"]
            ax.boxplot(
                list(np.log10(tols).T),
                positions=np.arange(tols.shape[1]) + shift,
                widths=0.3,
                label=split,
                patch_artist=True,
                boxprops={"facecolor": color, "alpha": 0.5},
                medianprops={"color": "black"},
                flierprops={"markersize": 2},
                manage_ticks=False,
            )
        ax.set(xticks=range(tols.shape[1]), xlabel="CNF", ylabel="log10 tolerance")
        ax.grid(alpha=0.3)
        ax.legend()
        return ax


class ToleranceEvaluator:
    """Measures a model whose tolerances are sampled, or learned.

    One tolerance serves a whole batch, so the batch size is part of the question.
    As in `Evaluator`, all noise is fixed, and the incomplete last batch counts.

    Args:
        model: the model.
        source: data to evaluate on.
    """

    def __init__(self, model: InfoCNF, source: DataSource):
        import tensorflow as tf

        from tfcnf.data.pipeline import batch_specs
        from tfcnf.evaluation.image import Evaluator

        self.model, self.source = model, source
        self.evaluator = Evaluator(model, source)
        signature = [
            *batch_specs(source.test),
            tf.TensorSpec((2,), tf.int32),
            tf.TensorSpec((), model.compute_dtype),
        ]
        self._measure = tf.function(
            self._pass, input_signature=signature, autograph=False
        )

    def run(
        self, batch_sizes: Sequence[int] = BATCH_SIZES
    ) -> Iterator[tuple[str, float]]:
        """Yields (name, value) on the test split.

        Args:
            batch_sizes: examples that share a tolerance. At most 500 batches are
                evaluated; ``num_examples`` says how many examples that are.

        Yields:
            ``MODE/batch_SIZE/MEASURE`` for the modes ``mean`` and ``sampled``, and
            the measures of `Evaluator.run` that one pass gives, with
            ``log10_tol/cnf_00`` and on.
        """
        for mode in MODES:
            for size in batch_sizes:
                for name, value in self._run(mode, size):
                    yield f"{mode}/batch_{size}/{name}", value

    def distribution(
        self, split: str, batch_size: int, mode: str = "sampled", draws: int = 1
    ) -> np.ndarray:
        """The tolerances of each batch and layer, ``[batches * draws, N]``.

        Args:
            split: ``"test"`` or ``"train"``; its first 5,000 examples are taken.
            batch_size: examples that share a tolerance.
            mode: ``"sampled"`` or ``"mean"``.
            draws: samples for each batch.

        Raises:
            ValueError: for an unknown split.
        """
        from tfcnf.data.pipeline import evaluation_batches
        from tfcnf.evaluation.base import SPLITS

        check_choice("split", split, SPLITS)
        tols, most = [], max(MOST_EXAMPLES // batch_size, 1)
        for draw in range(draws):
            batches = evaluation_batches(getattr(self.source, split), batch_size)
            for i, (x, y) in enumerate(itertools.islice(batches, most)):
                tols.append(self._measure(x, y, [draw, i], MODES[mode])[2])
        return np.stack(tols)

    def solves(self, split: str, batch_size: int) -> dict[str, np.ndarray]:
        """Costs of some batches' solves with sampled tolerances, ``[n, N]`` by name.

        Args:
            split: ``"test"`` or ``"train"``; its first `SHOWN_BATCHES` are taken.
            batch_size: examples that share a tolerance.
        """
        from tfcnf.data.pipeline import evaluation_batches

        batches = evaluation_batches(getattr(self.source, split), batch_size)
        tols, nfe = [], []
        for i, (x, y) in zip(range(SHOWN_BATCHES), batches, strict=False):
            _, evaluations, tol = self._measure(x, y, [0, i], MODES["sampled"])
            tols.append(tol.numpy())
            nfe.append(evaluations.numpy())
        return {"log10_tol": np.log10(tols), "nfe_forward": np.stack(nfe)}

    def _run(self, mode: str, batch_size: int) -> Iterator[tuple[str, float]]:
        from tfcnf.data.pipeline import evaluation_batches
        from tfcnf.evaluation.means import Means

        means = Means()
        nfe, log_tols, examples = [], [], 0
        batches = evaluation_batches(self.source.test, batch_size)
        for i, (x, y) in zip(range(MOST_BATCHES), batches, strict=False):
            measures, evaluations, tol = self._measure(x, y, [0, i], MODES[mode])
            examples += len(y)
            nfe.append(evaluations.numpy())
            log_tols.append(np.log10(tol))
            means.add(measures)
        yield from means
        yield "nfe_forward", float(np.mean(nfe, axis=0).sum())
        for i, value in enumerate(np.mean(log_tols, axis=0)):
            yield f"log10_tol/cnf_{i:02d}", float(value)
        yield "num_examples", examples

    def _pass(
        self, x: Tensor, y: Tensor, seed: Tensor, sample: Tensor
    ) -> tuple[dict[str, Tensor | Weighted], Tensor, Tensor]:
        from tfcnf.types import Control

        control = Control(seed=seed, sample_tol=sample)
        measures, out = self.evaluator.measures(x, y, control)
        return measures, out.nfe, out.tolerance
