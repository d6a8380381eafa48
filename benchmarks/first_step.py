"""The first training steps of a model, each stage timed, in a fresh process.

    python -m benchmarks.first_step SECONDS KEYWORDS

SECONDS is the time at which the process was started, KEYWORDS the JSON of a batch size
and of the keywords of `tfcnf.InfoCNF`. It prints a line of JSON: for each stage the
seconds after which it was done and the CPU seconds that the process had taken, the
size of the traced step, and the peak of memory. The examples are noise, so that no
data set is needed.
"""

import json
import resource
import sys
import time
from typing import Any


def main(start: str, keywords: str) -> None:
    """Times the stages."""
    stages: dict[str, Any] = {}

    def done(stage: str) -> None:
        stages[stage] = time.time() - float(start)
        stages[f"{stage}_cpu"] = time.process_time()

    import keras
    import tensorflow as tf

    import tfcnf
    from benchmarks.graph_size import graph_size
    from tfcnf.training.strategy import start_faster

    done("import")
    start_faster()
    options = json.loads(keywords)
    batch = options.pop("batch")
    model = tfcnf.InfoCNF(**options)
    model.compile(optimizer=keras.optimizers.Adam())
    model.optimizer.build(model.trainable_variables)
    done("build")
    shape, images = (batch, *model.event_shape), len(model.event_shape) == 3
    high, dtype = (model.num_levels, tf.int32) if images else (1, tf.float32)
    x = tf.random.stateless_uniform(shape, [0, 0], 0, high, dtype)
    y = tf.zeros([batch], tf.int32)
    step = tf.function(model.train_step, autograph=False)
    step = step.get_concrete_function((x, y))
    done("trace")
    step((x, y))
    done("first_step")
    step((x, y))
    done("second_step")
    stages["graph"] = graph_size(step)
    stages["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps(stages))


if __name__ == "__main__":
    main(*sys.argv[1:])
