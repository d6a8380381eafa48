"""Running costs: integrals along a solve that a training may pay for.

A cost is ``integral of c(t, z) dt`` over the time that a solve takes, for each example,
and does not depend on its direction. Its integrand is made of what an evaluation of the
field has anyway, so that it takes no evaluation of its own. Costs are quadratures: they
take no part in the error test and change no step.

A new cost is a file in `tfcnf.ode.costs` (or anywhere else) with a subclass of `Cost`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from tfcnf.checks import check_choice
from tfcnf.registry import Record
from tfcnf.types import Tensor


class Evaluation(NamedTuple):
    """An evaluation of a field f, with the derivatives that the trace takes.

    Attributes:
        t: time, scalar.
        z: state ``[B, ...]``.
        dz: f(t, z), ``[B, ...]``.
        directions: e_p of the trace, ``[P, B, ...]``.
        tangents: (df/dz) e_p, ``[P, B, ...]``.
        weight: of each direction, scalar: with it the sum of e_p e_p^T is the identity,
            or has it as its mean.
    """

    t: Tensor
    z: Tensor
    dz: Tensor
    directions: Tensor
    tangents: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Cost(Record, kind="cost"):
    """A running cost; a subclass defines `integrand`.

    ```python
    @dataclass(frozen=True)
    class Length(tfcnf.Cost, key=None):
        def integrand(self, at):
            return tf.norm(at.dz, axis=1)

    layer = tfcnf.CNFLayer(tfcnf.DenseDynamics((8,)), costs=[Length()])
    length = layer(tf.ones([4, 2])).costs["length"]
    ```

    Attributes:
        needs_columns: the integrand takes the tangents for columns of the Jacobian, so
            that directions of an exact trace may not share a row.
    """

    needs_columns: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Its name in `tfcnf.types.FlowOutput.costs` and among the measures."""
        return getattr(type(self), "key", type(self).__name__.lower())

    def integrand(self, at: Evaluation) -> Tensor:
        """c(t, z) of each example, ``[B]``, made of one evaluation."""
        raise NotImplementedError


def make_costs(costs: Iterable[str | Cost]) -> tuple[Cost, ...]:
    """Costs of their names; no two of one name.

    Raises:
        ValueError: for an unknown name, or one that is there twice.
    """
    made = tuple(Cost.get(cost) for cost in costs)
    names = [cost.name for cost in made]
    if len(set(names)) < len(names):
        raise ValueError(
            f"costs must be different ones. Received: costs={', '.join(names)}"
        )
    return made


def check_weights(costs: Mapping[str, float] | None) -> dict[str, float]:
    """The weights of the costs that are to be paid, without those of weight 0.

    Args:
        costs: weights by name of the cost.

    Raises:
        ValueError: for an unknown cost, or a weight that is negative or not finite.
    """
    weights = dict(costs or {})
    for name, weight in weights.items():
        check_choice("costs", name, Cost.known)
        is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not is_number or not 0 <= weight < math.inf:
            raise ValueError(
                "the weight of a cost must be finite and at least 0. "
                f"Received: costs.{name}={weight!r}"
            )
    return {name: float(weight) for name, weight in weights.items() if weight}


def cost_weights() -> dict[str, Any]:
    """The known costs, with the weight that leaves each of them out."""
    return dict.fromkeys(Cost.known, 0.0)
