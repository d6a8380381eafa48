"""The loss of a latent ODE."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from tfcnf.data.series import Series
from tfcnf.models.latent_parts import LatentParts, gaussian
from tfcnf.models.latent_starts import (
    at_start,
    both_ways,
    draw_starts,
    from_start,
    times_from,
)
from tfcnf.seeds import fold_in, next_seed, normal
from tfcnf.types import Control, FlowOutput, Tensor

tfd = tfp.distributions


class Drawn(NamedTuple):
    """A sample of the code of each series and the path from it.

    Attributes:
        posterior: q(z | x), where the code stands.
        z: the sample, ``[B, D]``.
        path: ``[B, T, D]``.
        out: cost of the solves.
        penalty: of codes that do not agree, ``[B]`` nats, or None.
    """

    posterior: tfp.distributions.Distribution
    z: Tensor
    path: Tensor
    out: FlowOutput
    penalty: Tensor | None = None


class LatentLoss(LatentParts):
    """A latent ODE's ELBO and the terms of its labels."""

    def terms(
        self, x: Series, y: Tensor | None, control: Control, training: bool
    ) -> tuple[dict[str, Tensor], FlowOutput]:
        """The loss and its parts in nats, each ``[B]``.

        One sample of z is drawn a series, from the noise of ``control.seed`` if given.

        Raises:
            ValueError: for series or labels that do not fit the model, see
                `tfcnf.models.latent_inputs`.
        """
        x = self._read(x)
        y = self._labels(x, y)
        seed = next_seed(self.noise) if control.seed is None else control.seed
        moved = training and self.options["random_start"]
        draw = self._draw_moved if moved else self._draw
        drawn = draw(x, control, seed)
        log_likelihood = self._log_likelihood(x, drawn.path)
        kl = tfd.kl_divergence(drawn.posterior, self.prior.distribution(y))
        beta = self.options["beta"]
        loss = self._kl_weight(training) * kl - log_likelihood
        terms = {
            "elbo": log_likelihood - kl,
            "running_elbo": log_likelihood - beta * kl,
            "log_likelihood": log_likelihood,
            "kl": kl,
        }
        if self.is_supervised:
            each = self.reader.losses(self.reader.codes(drawn.z), y)
            weights = self.options["label_weights"]
            terms["label_nll"] = tf.add_n(
                [w * nll for w, nll in zip(weights, each, strict=True)]
            )
            loss += terms["label_nll"]
        if drawn.penalty is not None:
            terms["consistency"] = drawn.penalty
            loss += self.options["consistency"] * drawn.penalty
        return terms | {"loss": loss}, drawn.out

    def _draw(self, x: Series, control: Control, seed: Tensor) -> Drawn:
        """Codes at the first observed points."""
        posterior = self._encode(x)
        z = _sample(posterior, seed)
        path, out = self.flow(z, self._times(x), control=control)
        return Drawn(posterior, z, path, out)

    def _draw_moved(self, x: Series, control: Control, seed: Tensor) -> Drawn:
        """Codes at random points, see `tfcnf.models.latent_starts`."""
        start, other = (
            draw_starts(x, self.options["random_start"], fold_in(seed, number))
            for number in (1, 2)
        )
        starts = [start, other] if self.options["consistency"] else [start]
        parts = [from_start(x, at) for at in starts]
        together = Series(*(tf.concat(same, 0) for same in zip(*parts, strict=True)))
        means, scales = (
            tf.split(part, len(starts))
            for part in self.recognition(together, complete=False)
        )
        posterior, *others = map(gaussian, means, scales)
        z = _sample(posterior, seed)
        outs = []

        def solve(times: Tensor, direction: int) -> Tensor:
            path, out = self.flow(z, times, control=control, direction=direction)
            outs.append(out)
            return path

        path = both_ways(times_from(x, start), solve)
        out = outs[0]._replace(nfe=outs[0].nfe + outs[1].nfe)
        if not others:
            return Drawn(posterior, z, path, out)
        met = others[0].log_prob(at_start(path, other))
        return Drawn(posterior, z, path, out, posterior.log_prob(z) - met)

    def _log_likelihood(self, x: Series, path: Tensor) -> Tensor:
        """log p(x | z) ``[B]`` of the values in the data's units, nats."""
        log_prob = self.decoder.log_prob(x, self.decoder(path))
        if self.units is None:
            return log_prob
        mask = x.mask if len(x.mask.shape) == 3 else x.mask[..., None]
        log_scale = tf.math.log(tf.constant(self.units.scale, mask.dtype))
        return log_prob - tf.reduce_sum(mask * log_scale, [1, 2])

    def _kl_weight(self, training: bool) -> Any:
        beta, steps = self.options["beta"], self.options["kl_warmup_steps"]
        if not (training and steps):
            return beta
        done = tf.cast(self.optimizer.iterations, self.compute_dtype) + 1.0
        return beta * tf.minimum(done / steps, 1.0)


def _sample(posterior: tfp.distributions.Distribution, seed: Tensor) -> Tensor:
    mean = posterior.mean()
    unit = normal(tf.shape(mean), seed, mean.dtype)
    return mean + posterior.scale.matvec(unit)
