"""The large libraries, imported in the order and in the way that takes least time.

TensorFlow Probability before TensorFlow: the other way round it imports its layers and
experiments too, which nothing here needs. The garbage collector rests meanwhile: what
these imports make, several hundred thousand objects, stays.
"""

import gc
import importlib

_collects = gc.isenabled()
gc.disable()
try:
    for _name in ("tensorflow_probability", "tensorflow", "keras"):
        importlib.import_module(_name)
finally:
    if _collects:
        gc.enable()
