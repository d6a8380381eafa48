"""A label: the values of one supervised factor, and its two distributions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf.labels.linear import FirstDims, make_map
from tfcnf.precision import FullPrecision
from tfcnf.types import Tensor

tfd = tfp.distributions


class Label(FullPrecision):
    """One supervised factor y of the data, with its code z_y.

    A label owns all that varies with its kind: which values it takes, the prior
    p(z_y | y) = N(mu(y), sigma(y)^2) with ``[mu, log sigma] = q_phi(y)`` (InfoCNF
    Eq. 3), the predictor q_theta(y | z_y), the loss and the measures of a
    prediction. A kind of your own is a subclass with `num_features`,
    `num_outputs`, `num_means`, `check`, `features`, `is_hidden`, `estimate`, `loss`
    and `measures`; with `support` its hidden values can be marginalised. `predict`,
    `interval`, `sample`, `examples` and `caption` are for diagnostics and reports.

    Values come as ``[B, columns]``, `columns` numbers for each example.

    ```python
    label = tfcnf.Real(2, title="position")
    assert label.describe() and label.columns == 2
    ```

    Args:
        title: name for tables and pictures.
        prior_units: units of hidden layers of q_phi; linear if empty (InfoCNF 4.1).
        predictor_units: units of hidden layers of q_theta; linear if empty.
    """

    columns = 1
    integer = True  # values are whole numbers
    measure_names: tuple[str, ...] = ("error",)
    roots: tuple[str, ...] = ()  # measures whose mean is a mean square

    def __init__(
        self,
        *,
        title: str = "",
        prior_units: Sequence[int] = (),
        predictor_units: Sequence[int] = (),
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.title = title
        self.prior_units, self.predictor_units = (
            tuple(prior_units),
            tuple(predictor_units),
        )
        self.q_phi: Any = None
        self.q_theta: Any = None

    # What a kind defines

    @property
    def num_features(self) -> int:
        """Numbers that q_phi reads."""
        raise NotImplementedError

    @property
    def num_outputs(self) -> int:
        """Numbers that q_theta gives."""
        raise NotImplementedError

    @property
    def num_means(self) -> int:
        """Number of them that locate the value; the others say how sure that is."""
        raise NotImplementedError

    def check(self, y: Tensor, hidden: bool) -> tuple[Tensor, str]:
        """Condition on valid values ``[B, columns]`` and what they must be.

        Args:
            y: values.
            hidden: accept hidden values.
        """
        raise NotImplementedError

    def features(self, y: Tensor) -> Tensor:
        """The input of q_phi, ``[B, num_features]``; finite for hidden values too."""
        raise NotImplementedError

    def is_hidden(self, y: Tensor) -> Tensor:
        """Mask of hidden values, ``[B]``."""
        raise NotImplementedError

    def predict(self, z: Tensor) -> tfp.distributions.Distribution:
        """q_theta(y | z_y) in the label's own units, batch ``[B]``."""
        raise NotImplementedError

    def estimate(self, z: Tensor) -> Tensor:
        """The predicted values, ``[B, columns]``; probabilities for yes or no."""
        raise NotImplementedError

    def interval(self, z: Tensor, level: float) -> tuple[Tensor, Tensor]:
        """Ends of the central predictive interval of numbers, each ``[B, columns]``.

        They are NaN where a label's values are no numbers on a line.

        Args:
            z: codes.
            level: probability of the interval.
        """
        none = tf.fill([tf.shape(z)[0], self.columns], math.nan)
        none = tf.cast(none, self.compute_dtype)
        return none, none

    def loss(self, z: Tensor, y: Tensor) -> Tensor:
        """-log q_theta(y | z_y), ``[B]`` nats; 0 where hidden."""
        raise NotImplementedError

    def measures(self, estimate: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Measures by name, each ``[B]``, of what `estimate` gives beside the truth."""
        raise NotImplementedError

    def support(self) -> tuple[Tensor, Tensor]:
        """Values ``[M, columns]`` and logits ``[M]`` of the distribution of y.

        The marginal of z_y is the mixture over them.

        Raises:
            ValueError: where no distribution of y is stated.
        """
        raise ValueError(
            "values of this label cannot be marginalised: no distribution of them is "
            f"stated. Received: {self!r}"
        )

    def sample(self, count: Tensor, seed: Tensor) -> Tensor:
        """Values ``[count, columns]`` of the distribution of y; see `support`."""
        raise NotImplementedError

    def examples(self, count: int) -> np.ndarray:
        """Values to draw pictures for, ``[n, columns]``, at most ``count``."""
        raise NotImplementedError

    def describe(self) -> str:
        """The kind of its values in a few words; the class's name unless defined."""
        return type(self).__name__

    def caption(self, value: Sequence[Any]) -> str:
        """Text for one value ``[columns]``."""
        raise NotImplementedError

    # What all kinds share

    @property
    def can_hide(self) -> bool:
        """True where hidden values can be marginalised."""
        return type(self).support is not Label.support

    def build_prior(self, dims: int, seed: int | None = None) -> None:
        """Creates q_phi for a code of these dimensions."""
        self.q_phi = self._map(
            "q_phi",
            self.num_features,
            outputs=2 * dims,
            hidden=self.prior_units,
            seed=seed,
        )

    def build_predictor(
        self, dims: int, seed: int | None = None, identity: bool = False
    ) -> None:
        """Creates q_theta for a code of these dimensions.

        Args:
            dims: of the code.
            seed: integer seed of its initial weights.
            identity: read the first dimensions of the code as they are, see
                `FirstDims`.
        """
        if identity:
            self.q_theta = FirstDims(
                self.num_means, self.num_outputs, dtype=self.dtype_policy
            )
        else:
            self.q_theta = self._map(
                "q_theta",
                dims,
                outputs=self.num_outputs,
                hidden=self.predictor_units,
                seed=seed,
            )

    def _map(
        self, name: str, inputs: int, *, outputs: int, hidden: Any, seed: int | None
    ) -> keras.layers.Layer:
        return make_map(
            inputs, outputs, hidden, seed, name=name, dtype=self.dtype_policy
        )

    def prior(self, y: Tensor) -> tfp.distributions.MultivariateNormalDiag:
        """p(z_y | y) for values ``[B, columns]``: batch ``[B]``, event z_y."""
        mean, log_scale = tf.split(self.q_phi(self.features(y)), 2, -1)
        return tfd.MultivariateNormalDiag(mean, tf.exp(log_scale))

    def components(self) -> tfp.distributions.MultivariateNormalDiag:
        """p(z_y | y) for every value of the support: batch ``[M]``."""
        return self.prior(self.support()[0])

    def marginal(self) -> tfp.distributions.MixtureSameFamily:
        """p(z_y), the mixture over the support (InfoCNF App. G)."""
        weights = tfd.Categorical(logits=self.support()[1])
        return tfd.MixtureSameFamily(weights, self.components())

    def log_prob(self, z: Tensor, y: Tensor) -> Tensor:
        """log p(z_y | y), or log p(z_y) where y is hidden, ``[B]`` nats."""
        known = self.prior(y).log_prob(z)
        if not self.can_hide:
            return known
        hidden = self.is_hidden(y)
        marginal = _computed_if(tf.reduce_any(hidden), _mixture, z, *self._parts())
        return tf.where(hidden, marginal, known)

    def support_log_probs(self, z: Tensor) -> Tensor:
        """log p(z_y | y) for every value of the support, ``[B, M]`` nats."""
        normals = self.components()
        return _normals(z, normals.loc, normals.scale.diag)

    def marginal_log_prob(self, z: Tensor) -> Tensor:
        """log p(z_y), the logarithm of `marginal`'s density, ``[B]`` nats."""
        return _mixture(z, *self._parts())

    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Means and deviations ``[M, D]`` and logits ``[M]`` of `marginal`."""
        normals = self.components()
        return normals.loc, normals.scale.diag, self.support()[1]

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords."""
        return super().get_config() | {
            "title": self.title,
            "prior_units": self.prior_units,
            "predictor_units": self.predictor_units,
        }

    def fitted(self, y: np.ndarray) -> Label:
        """This label with the units of training values ``[n, columns]``.

        A label without units is itself.

        Raises:
            ValueError: for a label that is the same for all examples.
        """
        return self

    def record(self) -> dict[str, Any]:
        """The kind and its keywords, in values that JSON has; see `make_labels`."""
        own = self.get_config()
        for key in ("name", "trainable", "dtype"):
            own.pop(key)
        return {"kind": keras.saving.get_registered_name(type(self))} | {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in own.items()
        }


def whole_between(values: Tensor, low: int, high: int) -> Tensor:
    """The condition that all are whole numbers low..high, looked at in their type."""
    kind = values.dtype
    inside = (values >= max(low, int(kind.min))) & (values <= min(high, int(kind.max)))
    if kind.is_floating:
        inside &= tf.equal(values, tf.floor(values))
    return tf.reduce_all(inside)


def split_values(labels: Sequence[Label], y: Tensor) -> list[Tensor]:
    """Values ``[B, sum of columns]`` as one ``[B, columns]`` for each label.

    Classes are integers, real values have the dtype that they are given in.
    """
    if not labels:
        return []
    parts = tf.split(y, [label.columns for label in labels], 1)
    return [
        tf.cast(part, tf.int32) if label.integer else part
        for label, part in zip(labels, parts, strict=True)
    ]


def _normals(z: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """log N(z; mean, scale^2) of codes ``[B, D]`` for ``[M, D]``, ``[B, M]`` nats.

    TFP sums over dimensions so that rounding depends on the place in the batch.
    """
    squares = tf.square((z[:, None, :] - mean) / scale)
    constant = tf.math.log(scale) + 0.5 * math.log(2.0 * math.pi)
    return -tf.reduce_sum(0.5 * squares + constant, -1)


def _mixture(z: Tensor, mean: Tensor, scale: Tensor, logits: Tensor) -> Tensor:
    """The log-density of a mixture of such normals, ``[B]`` nats."""
    each = _normals(z, mean, scale) + tf.nn.log_softmax(logits)
    return tf.reduce_logsumexp(each, -1)


def _computed_if(
    needed: Tensor, function: Callable[..., Tensor], z: Tensor, *args: Tensor
) -> Tensor:
    """``function(z, *args)``, ``[B]``, or zeros where it is not needed.

    Its gradient computes it again: XLA cannot compile a branch whose gradient needs
    what another branch of unknown size left.
    """

    @tf.custom_gradient
    def run(*given: Tensor) -> Any:
        def gradient(upstream: Tensor) -> Any:
            def back() -> tuple[Tensor, ...]:
                with tf.GradientTape() as tape:
                    tape.watch(given)
                    value = function(*given)
                none = tf.UnconnectedGradients.ZERO
                found: tuple[Tensor, ...] = tape.gradient(value, given, upstream, none)
                return found

            return tf.cond(needed, back, lambda: (*map(tf.zeros_like, given),))

        none = tf.zeros_like(given[0][:, 0])
        return tf.cond(needed, lambda: function(*given), lambda: none), gradient

    return run(tf.convert_to_tensor(z), *args)
