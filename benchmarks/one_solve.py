"""The peak of memory of one solve and its gradient, in a fresh process.

    python -m benchmarks.one_solve GRADIENT TOL

It prints a line of JSON: accepted steps, and the resident memory in GiB before and at
its peak.
"""

import json
import resource
import sys

BATCH, SIDE, CHANNELS, FILTERS = 32, 16, 3, 64
DTYPE, END = "float64", 20.0


def main(gradient: str, tol: str) -> None:
    """Solves with a loose tolerance for the trace, then with ``tol``."""
    import tensorflow as tf

    from tfcnf.ode.dynamics import ConvDynamics
    from tfcnf.ode.gradient import Gradient
    from tfcnf.ode.solve import Method, solve
    from tfcnf.ode.trace import Hutchinson

    dynamics = ConvDynamics((FILTERS, FILTERS), seed=0, dtype=DTYPE)
    dynamics.build((None, SIDE, SIDE, CHANNELS))
    z = tf.random.stateless_normal([BATCH, SIDE, SIDE, CHANNELS], [0, 0], dtype=DTYPE)
    probes = Hutchinson().draw(z, tf.constant([0, 1]))
    method = Method(end=END, gradient=Gradient.get(gradient))

    @tf.function(autograph=False)
    def step(tol):  # type: ignore[no-untyped-def]
        with tf.GradientTape() as tape:
            field, theta = dynamics.prepare()
            z1, log_det, stats = solve(
                field,
                theta,
                z=z,
                probes=probes,
                tol=tol,
                adjoint_tol=tol,
                nfe_backward_probe=tf.zeros([], DTYPE),
                method=method,
            )
            loss = tf.reduce_sum(z1**2) - tf.reduce_sum(log_det)
        return tape.gradient(loss, dynamics.trainable_variables), stats

    _, stats = step(tf.constant(1.0, DTYPE))
    before = _peak()
    _, stats = step(tf.constant(float(tol), DTYPE))
    print(
        json.dumps(
            {
                "steps": int(stats.num_accepted),
                "before_gib": before,
                "peak_gib": _peak(),
            }
        )
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main(*sys.argv[1:])
