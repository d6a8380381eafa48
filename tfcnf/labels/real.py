"""Labels that are real numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf.checks import check_positive_integer
from tfcnf.labels.base import Label
from tfcnf.seeds import normal, uniform
from tfcnf.types import Tensor

tfd = tfp.distributions
NODES = {1: 257, 2: 65}  # an axis, of the quadrature over y
REACH = 6.0  # standard deviations
POINTS = {1: 257, 2: 1025}  # at most, of an empirical distribution of y


@keras.saving.register_keras_serializable("tfcnf")
class Real(Label):
    """d real numbers, each with a mean and a deviation that make it of unit size.

    q_phi and q_theta see ``(y - mean) / scale``; everything a user gives or gets is in
    the label's own units. NaN is a hidden value. It can be marginalised where the
    distribution of y is stated, for one and two numbers:

    * ``distribution="normal"``: independent N(mean, scale^2). The integral over y is a
      sum over a grid of `NODES` points an axis within 6 standard deviations;
    * ``distribution="empirical"``: that of the training values. The integral is the
      mean over them, or over `POINTS` of them where they are more: quantiles of a
      number, and evenly chosen ones of two.

    The sum is exact, that over a grid to float precision, as long as p(z_y | y) does
    not change its mean by more than about its own deviation from one point to the next.

    ```python
    model = tfcnf.InfoCNF((2,), labels=[tfcnf.Real(1, mean=[170.0], scale=[9.0])])
    ```

    Args:
        dims: d.
        mean: d numbers, of the training data; 0 if None.
        scale: d positive numbers, of the training data; 1 if None.
        distribution: of y: ``"normal"``, ``"empirical"``, or None if it is not stated.
        values: ``[M, d]`` of an empirical distribution, of equal weight; data take them
            from their training split.
        **options: see `Label`.

    Raises:
        ValueError: for an argument out of range.
    """

    integer = False
    measure_names = ("rmse",)
    roots = ("rmse",)

    def __init__(
        self,
        dims: int = 1,
        mean: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        distribution: str | None = None,
        values: Sequence[Sequence[float]] | None = None,
        **options: Any,
    ):
        super().__init__(**options)
        check_positive_integer("dims", dims)
        self.dims = self.columns = int(dims)
        self.mean = tuple(map(float, [0.0] * dims if mean is None else mean))
        self.scale = tuple(map(float, [1.0] * dims if scale is None else scale))
        if len(self.mean) != dims or not np.isfinite(self.mean).all():
            raise ValueError(
                f"mean must be {dims} finite numbers. Received: mean={mean}"
            )
        valid = np.isfinite(self.scale).all() and min(self.scale) > 0
        if len(self.scale) != dims or not valid:
            raise ValueError(
                f"scale must be {dims} positive numbers; a label that is constant in "
                f"the training data supervises nothing. Received: scale={scale}"
            )
        if distribution not in (None, "normal", "empirical"):
            raise ValueError(
                "distribution must be 'normal', 'empirical' or None. "
                f"Received: distribution={distribution!r}"
            )
        self.distribution = distribution
        self.values = _checked_values(values, dims, distribution)

    def fitted(self, y: np.ndarray) -> Real:
        """This label with the mean and the deviation of training values ``[n, d]``.

        Hidden values are left out.

        Raises:
            ValueError: for a number that is the same for all examples.
        """
        y = y[~np.isnan(y).all(1)]
        value = y[0] if len(y) else "hidden"
        if not len(y) or not (np.ptp(y, 0) > 0).all():
            raise ValueError(
                "a label that is the same for all training examples supervises "
                f"nothing; leave it out. Received: {self.title or 'y'}={value}"
            )
        units = {"mean": y.mean(0).tolist(), "scale": y.std(0).tolist()}
        if self.distribution == "empirical" and self.dims in POINTS:
            units["values"] = _points(y).tolist()
        return type(self).from_config(self.get_config() | units)

    @property
    def num_features(self) -> int:
        """Numbers d."""
        return self.dims

    @property
    def num_outputs(self) -> int:
        """Means and log-deviations, 2 d."""
        return 2 * self.dims

    @property
    def num_means(self) -> int:
        """The means among the outputs of q_theta, d."""
        return self.dims

    @property
    def can_hide(self) -> bool:
        """True where a distribution of one or two numbers is stated."""
        stated = self.distribution == "normal" or len(self.values) > 0
        return stated and self.dims in NODES

    def check(self, y: Tensor, hidden: bool) -> tuple[Tensor, str]:
        """Condition finite, or NaN in all of a label's columns where it is hidden."""
        valid = tf.reduce_all(tf.math.is_finite(y), 1)
        if hidden and self.can_hide:
            valid |= self.is_hidden(y)
            return tf.reduce_all(valid), "finite, or NaN where hidden"
        return tf.reduce_all(valid), "finite"

    def features(self, y: Tensor) -> Tensor:
        """Values of unit size ``[B, d]``, zero for hidden ones."""
        y = (tf.cast(y, self.compute_dtype) - self.mean) / self.scale
        return tf.where(tf.math.is_nan(y), tf.zeros_like(y), y)

    def is_hidden(self, y: Tensor) -> Tensor:
        """Mask of values that are NaN, ``[B]``."""
        return tf.reduce_all(tf.math.is_nan(y), 1)

    def _standard(self, z: Tensor) -> tfp.distributions.Distribution:
        """q_theta of the values of unit size."""
        location, log_scale = tf.split(self.q_theta(z), 2, -1)
        return tfd.Independent(tfd.Normal(location, tf.exp(log_scale)), 1)

    def predict(self, z: Tensor) -> tfp.distributions.Independent:
        """Normal predictions in the label's own units: batch ``[B]``, event ``[d]``."""
        unit = self._standard(z).distribution
        mean, scale = unit.loc * self.scale + self.mean, unit.scale * self.scale
        return tfd.Independent(tfd.Normal(mean, scale), 1)

    def estimate(self, z: Tensor) -> Tensor:
        """Means of the prediction, ``[B, d]``."""
        return self.predict(z).mean()

    def interval(self, z: Tensor, level: float) -> tuple[Tensor, Tensor]:
        """Quantiles of the prediction, each ``[B, d]``."""
        each = self.predict(z).distribution
        return each.quantile((1 - level) / 2), each.quantile((1 + level) / 2)

    def loss(self, z: Tensor, y: Tensor) -> Tensor:
        """-log q_theta of the values of unit size, ``[B]`` nats; 0 where hidden."""
        nll = -self._standard(z).log_prob(self.features(y))
        return tf.where(self.is_hidden(y), tf.zeros_like(nll), nll)

    def measures(self, estimate: Tensor, y: Tensor) -> dict[str, Tensor]:
        """``rmse``: mean squared error over the columns, in the label's own units."""
        gap = tf.cast(estimate, self.compute_dtype) - tf.cast(y, self.compute_dtype)
        return {"rmse": tf.reduce_mean(gap**2, 1)}

    def support(self) -> tuple[Tensor, Tensor]:
        """Values with the logarithms of their weights, see above.

        Raises:
            ValueError: where the distribution of y is not stated, or of more than two
                numbers.
        """
        if not self.can_hide:
            raise ValueError(
                "values of this label can be marginalised with distribution='normal', "
                "or 'empirical' and values, for one or two numbers. "
                f"Received: dims={self.dims}, distribution={self.distribution!r}"
            )
        if self.distribution == "empirical":
            values, logits = np.array(self.values), np.zeros(len(self.values))
        else:
            axis = np.linspace(-REACH, REACH, NODES[self.dims])
            axes = np.meshgrid(*[axis] * self.dims)
            nodes = np.stack(axes, -1).reshape(-1, self.dims)
            values = nodes * self.scale + self.mean
            logits = -0.5 * (nodes**2).sum(1)
        return (
            tf.constant(values, self.compute_dtype),
            tf.constant(logits, self.compute_dtype),
        )

    def sample(self, count: Tensor, seed: Tensor) -> Tensor:
        """Values ``[count, d]`` of the distribution; normal where none is stated."""
        if self.distribution == "empirical":
            values = self.support()[0]
            place = uniform([count], seed) * len(self.values)
            return tf.gather(values, tf.cast(place, tf.int32))
        noise = normal([count, self.dims], seed, self.compute_dtype)
        return noise * self.scale + self.mean

    def examples(self, count: int) -> np.ndarray:
        """Values from two deviations below the mean to two above, ``[n, d]``."""
        steps = np.linspace(-2.0, 2.0, count)[:, None]
        return np.asarray(self.mean) + steps * np.asarray(self.scale)

    def describe(self) -> str:
        """The number of numbers."""
        return "a number" if self.dims == 1 else f"{self.dims} numbers"

    def caption(self, value: Sequence[Any]) -> str:
        """The numbers, with the title."""
        numbers = ", ".join(f"{number:.3g}" for number in value)
        return f"{self.title} = {numbers}" if self.title else numbers

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {
            "dims": self.dims,
            "mean": self.mean,
            "scale": self.scale,
            "distribution": self.distribution,
            **({"values": [list(v) for v in self.values]} if self.values else {}),
        }


def _checked_values(
    values: Sequence[Sequence[float]] | None, dims: int, distribution: str | None
) -> tuple[tuple[float, ...], ...]:
    if values is None or not len(values):
        return ()
    found = np.asarray(values, np.float64)
    if distribution != "empirical" or found.ndim != 2 or found.shape[1] != dims:
        raise ValueError(
            f"values must have shape [M, {dims}] and are for "
            "distribution='empirical'. "
            f"Received: values.shape={found.shape}, distribution={distribution!r}"
        )
    if not np.isfinite(found).all():
        raise ValueError(f"values must be finite. Received: values={values}")
    return tuple(map(tuple, found.tolist()))


def _points(y: np.ndarray) -> np.ndarray:
    """At most `POINTS` values of equal weight that stand for values ``[n, d]``."""
    count, dims = y.shape
    most = POINTS[dims]
    if count <= most:
        return y
    if dims == 1:
        return np.quantile(y, (np.arange(most) + 0.5) / most, axis=0)
    return y[np.linspace(0, count - 1, most).round().astype(int)]
