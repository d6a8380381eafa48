"""Wrong calls: each ends with one line and exit status 2, as docs/bad_input.md says.

    TFCNF_WRITE_TABLE=1 python -m pytest -n 0 tests/integration/test_bad_input_table.py

writes that table anew from what happened.
"""

import json
import os
import runpy
import shutil
import socket
import sys
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from PIL import Image

from tfcnf import (
    CNF,
    Chain,
    CNFLayer,
    Control,
    DenseDynamics,
    InfoCNF,
    LatentODE,
    Real,
    command_line,
)
from tfcnf.data import catalog
from tfcnf.data.series import (
    SeriesSource,
    SeriesSplit,
    make_series,
    pad_series,
)
from tfcnf.data.series_units import SeriesUnits
from tfcnf.data.source import DataSource, Split
from tfcnf.flows.multiscale import build_multiscale
from tfcnf.flows.whitening import Whitening
from tfcnf.runs.config import check_config, default_config
from tfcnf.tolerances.policy import build_policies
from tfcnf.tolerances.reinforce import Reinforce
from tfcnf.training.loop import run_epochs
from tfcnf.training.strategy import get_strategy

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "bad_input.md"
CONFIG = "--config=configs/digits.py:smoke,policy=fixed"
NEW = "--workdir=TMP/run"
DATA = "--data_dir=DATA"
HEAD = """# Wrong calls

What the scripts and the library say to wrong input: one line, exit status 2, nothing
overwritten. Written by `tests/integration/test_bad_input_table.py`. TMP is a scratch
folder, DATA a folder with prepared digits, RUN a finished run.

| what is wrong | call | message |
| --- | --- | --- |
"""


class Case(NamedTuple):
    """A wrong call of a script (its name and arguments), or of the library."""

    what: str
    call: str
    part: str
    prepare: Any = None
    main: Any = None


def train(what, change, part, prepare=None):
    return Case(what, f"train {CONFIG} {NEW} {DATA} {change}".strip(), part, prepare)


def images(data):
    """Trains on the images of ``data``."""
    return f"train {CONFIG} {NEW} --config.data={data}"


def with_deep(tmp):
    class_folder(tmp)
    deep = Image.fromarray(np.zeros([4, 4], np.uint16))
    deep.save(tmp / "own" / "cats" / "deep.png")


def write_image(path, shape=(4, 4, 1)):
    path.parent.mkdir(parents=True, exist_ok=True)
    keras.utils.save_img(path, np.zeros(shape), scale=False)


def class_folder(tmp):
    for i in range(5):
        write_image(tmp / "own" / "cats" / f"{i}.png")


def with_other_image(tmp):
    class_folder(tmp)
    (tmp / "own" / "cats" / "a.tiff").write_text("x")


def with_larger(tmp):
    class_folder(tmp)
    write_image(tmp / "own" / "dogs" / "0.png", (4, 6, 1))


def with_truncated(tmp):
    class_folder(tmp)
    path = tmp / "own" / "cats" / "2.png"
    path.write_bytes(path.read_bytes()[:40])


def with_unknown_class(tmp):
    for part, name in [("train", "cats"), ("test", "dogs")]:
        write_image(tmp / "own" / part / name / "0.png")


def arrays(**changes):
    def write(tmp):
        good = {
            "x_train": np.zeros([4, 4, 4], np.uint8),
            "y_train": np.zeros([4], np.int32),
            "x_test": np.zeros([2, 4, 4], np.uint8),
            "y_test": np.zeros([2], np.int32),
        } | changes
        np.savez(tmp / "own.npz", **{k: v for k, v in good.items() if v is not None})

    return write


def truncated_arrays(tmp):
    arrays()(tmp)
    path = tmp / "own.npz"
    path.write_bytes(path.read_bytes()[:100])


def a_file(tmp):
    (tmp / "file").write_text("precious")


def a_foreign_folder(tmp):
    (tmp / "run").mkdir()
    (tmp / "run" / "notes.txt").write_text("precious")


def another_run(tmp):
    """RUN, with a configuration that differs from that of the call."""
    shutil.copytree(tmp / "finished", tmp / "run")


def as_configured(tmp):
    """A copy of RUN, and its configuration as a file."""
    shutil.copytree(tmp / "finished", tmp / "run")
    config = json.loads((tmp / "run" / "config.json").read_text())
    text = f"import ml_collections as m\nget_config = lambda: m.ConfigDict({config!r})"
    (tmp / "same.py").write_text(text)


def with_other_data(tmp):
    """As above, and its record is of other test images."""
    as_configured(tmp)
    path = tmp / "run" / "data.json"
    record = json.loads(path.read_text())
    record["splits"]["test"]["fingerprint"] = ["0", "0"]
    path.write_text(json.dumps(record))


def damaged(name):
    def truncate(tmp):
        shutil.copytree(tmp / "finished", tmp / "run")
        for path in (tmp / "run").glob(name):
            path.write_bytes(path.read_bytes()[:-20])

    return truncate


def other_architecture(tmp):
    shutil.copytree(tmp / "finished", tmp / "run")
    path = tmp / "run" / "config.json"
    config = json.loads(path.read_text())
    config["model"]["filters"] += 1
    path.write_text(json.dumps(config))


def without_checkpoints(tmp):
    shutil.copytree(tmp / "finished", tmp / "run")
    shutil.rmtree(tmp / "run" / "checkpoints")


def bad_syntax(tmp):
    (tmp / "bad.py").write_text("def get_config(:\n")


def conditional():
    return CNF((2,), context=3, hidden_layers=1, filters=2, flows_per_block=1)


def blind():
    layer = CNFLayer(DenseDynamics((4,)))
    return CNF((2,), context=3, flow=Chain([layer]))


def tiny(**options):
    return InfoCNF((2,), 2, flows_per_block=1, filters=2, hidden_layers=1, **options)


POINTS = np.array([[0.5, -1.0], [2.0, 0.3]], np.float32)
CLASSES, WEIGHTS = np.array([0, 1]), np.array([1.0, -1.0])


def compiled():
    model = tiny()
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    return model


def second_derivative():
    model, x = tiny(gradient="checkpoint"), tf.constant(POINTS)
    tf.config.run_functions_eagerly(True)  # traced, it takes long
    try:
        derive_twice(model, x)
    finally:
        tf.config.run_functions_eagerly(False)


def derive_twice(model, x):
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            log_prob = model.log_prob(x, CLASSES)
        slope = inner.gradient(log_prob, x)
    outer.gradient(slope, x)


def forward_mode():
    x = tf.constant(POINTS)
    with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)):
        tiny().encode(x)


def in_a_graph():
    with tf.Graph().as_default():
        tiny()


def library(what, call, part, main):
    return Case(what, f"`{call}`", part, None, main)


def image_model(**options):
    keywords = {"filters": 2, "hidden_layers": 1, "flows_per_block": 1} | options
    return InfoCNF((4, 4, 1), 3, num_levels=17, **keywords)


def source(x, y):
    split = Split(np.asarray(x), np.asarray(y))
    return DataSource("mine", split, split, (2,), 1)


def small_loop(batch_size, **options):
    model = tiny()
    model.compile(keras.optimizers.SGD(0.1))
    data = source(np.zeros([8, 2], np.float32), np.zeros([8, 1], np.int32))
    run_epochs(model, data, get_strategy("one_device"), batch_size, 1, **options)


SERIES = make_series(np.ones([2, 3, 1]), [[0, 1, 2], [0, 1, 3]])


def series_source(y):
    split = SeriesSplit(SERIES, y)
    return SeriesSource("mine", split, split, {}, (Real(title="a"),), 3.0)


def series_model(**options):
    return LatentODE(1, partition="none", **{"encoder": "rnn:units=2"} | options)


EVALUATE = f"evaluate --workdir=RUN {DATA}"
SAMPLE = f"sample --workdir=RUN {DATA}"
SAME = "--config=TMP/same.py"

TABLE_CALL = "train --config=configs/table.py --workdir=TMP/run --config.data=TMP/t.csv"
PEOPLE = "age,income,town\n" + "".join(
    f"{20 + i % 7}.5,{i * i % 31}.25,{'RO'[i % 2]}\n" for i in range(40)
)


def people(old="", new="", encoding="utf-8"):
    """Leaves a table in which a text is replaced once."""

    def prepare(tmp):
        text = PEOPLE.replace(old, new, 1) if old else PEOPLE
        (tmp / "t.csv").write_bytes(text.encode(encoding))

    return prepare


def table(what, change, part, prepare=None):
    call = f"{TABLE_CALL} {change}".strip()
    return Case(what, call, part, prepare or people())


TABLE_ASSET = {
    "columns": [{"name": "age", "low": 0.0}],
    "context": [
        {"name": "income"},
        {"name": "town", "kind": "category", "names": ["O", "R"]},
    ],
    "labels": [],
}


def exported(name="table.json", record=TABLE_ASSET):
    """Leaves the table, and an export of which nothing but this is read."""

    def prepare(tmp):
        people()(tmp)
        (tmp / "export" / "assets").mkdir(parents=True)
        (tmp / "export" / "saved_model.pb").touch()
        (tmp / "export" / "assets" / name).write_text(json.dumps(record))

    return prepare


def rows_of(what, part, old="", new="", *, change="", prepare=None, encoding="utf-8"):
    """Asks an export about the table, in which a text is replaced once."""

    def both(tmp):
        exported()(tmp)
        people(old, new, encoding)(tmp)

    call = "predict --saved_model=TMP/export --table=TMP/t.csv --out=TMP/answers.csv"
    return Case(what, f"{call} {change}".strip(), part, prepare or both)


CASES = [
    # flags
    Case("no configuration", f"train {NEW}", "--config"),
    Case("no run folder", f"train {CONFIG}", "--workdir"),
    train("unknown flag", "--wrkdir=x", "wrkdir"),
    train("argument without a flag", "digits", "Received: ['digits']"),
    train("unknown strategy", "--strategy=two", "--strategy=two"),
    train("trace that stops before it starts", "--profile=5:2", "profile='5:2'"),
    train("trace of no steps", "--profile=abc", "START:STOP"),
    train("lines every -1 steps", "--log_every=-1", "log_every=-1"),
    train("checkpoints every 0 steps", "--checkpoint_every=0", "checkpoint_every=0"),
    train("no checkpoint kept", "--keep=0", "keep=0"),
    # configurations
    Case("missing configuration", f"train --config=digit.py {NEW}", "digit.py"),
    Case(
        "configuration with a syntax error",
        f"train --config=TMP/bad.py {NEW}",
        "syntax",
        bad_syntax,
    ),
    Case(
        "unknown variant",
        f"train --config=configs/digits.py:smoky {NEW}",
        "Did you mean 'smoke'?",
    ),
    Case(
        "unknown value of a variant",
        f"train --config=configs/digits.py:model=cnnf {NEW}",
        "infocnf, ccnf, cnf",
    ),
    train("unknown key", "--config.model.filtrs=3", "mean 'filters'? R"),
    train("unknown group", "--config.modl.filters=3", "mean 'model'? R"),
    train("text for a number", "--config.training.epochs=abc", "abc"),
    train("tolerance 0", "--config.model.tol=0.", "Received: tol=0.0"),
    train("tolerance NaN", "--config.model.tol=nan", "Received: tol=nan"),
    train("no filters", "--config.model.filters=0", "Received: hidden="),
    train("negative cost", "--config.model.costs.kinetic_energy=-1.", "energy=-1.0"),
    train("cost NaN", "--config.model.costs.jacobian_norm=nan", "norm=nan"),
    train("unknown link", "--config.model.link=log", "link must be one of logit"),
    train(
        "unknown norm of a solver",
        "--config.model.solver=dopri5:norm=mean",
        "norm must be one of largest, joint",
    ),
    train("end time that can reach zero", "--config.model.steer=1.", "steer=1.0"),
    train("too many scales", "--config.model.num_scales=5", "divisible by 16"),
    train("fraction above 1", "--config.model.supervised_fraction=1.5", "=1.5"),
    train("unknown trace", "--config.model.trace=exat", "Received: trace='exat'"),
    train("unknown policy", "--config.model.policy=learnt", "policy='learnt'"),
    train("negative rate", "--config.optimizer.learning_rate=-1.", "base=-1.0"),
    train("unknown decay", "--config.optimizer.decay=linear", "decay='linear'"),
    train("average of all time", "--config.optimizer.ema_momentum=1.", "=1.0"),
    train("all held out", "--config.training.validation=1.", "validation=1.0"),
    train("too little held out", "--config.training.validation=1e-4", "an example of"),
    train("patience with nothing", "--config.training.patience=3", "patience=3"),
    train("negative clipping", "--config.optimizer.clipnorm=-1.", "clipnorm=-1.0"),
    train("no epochs", "--config.training.epochs=0", "Received: epochs=0"),
    train("batch 0", "--config.training.batch_size=0", "Received: batch_size=0"),
    train("batch too large", "--config.training.batch_size=1438", "1437 training"),
    train(
        "parts that do not divide the batch",
        "--config.training.accumulation_steps=3",
        "3 accumulation steps",
    ),
    train("no parts", "--config.training.accumulation_steps=0", "steps=0"),
    train(
        "XLA for parts of a batch",
        "--config.training.jit_compile=True --config.training.accumulation_steps=2",
        "in one part",
    ),
    train(
        "XLA for a gradient that it does not compile",
        "--config.training.jit_compile=True --config.model.gradient=store",
        "gradient='adjoint' alone",
    ),
    train(
        "unknown recovery",
        "--config.training.recovery.action=ignore",
        "stop, skip, restore",
    ),
    train(
        "rate that is not lowered",
        "--config.training.recovery.rate_factor=1.",
        "rate_factor=1.0",
    ),
    train("honesty every -1 steps", "--config.training.honesty=-1", "at least 0"),
    Case(
        "honesty of a latent ODE",
        f"train --config=configs/spirals.py {NEW} --config.training.honesty=5",
        "honesty is of flows",
    ),
    train("negative seed", "--config.seed=-1", "Received: seed=-1"),
    # data
    train("unknown data", "--config.data=digit", "Did you mean 'digits'?"),
    train("data that are not there", "--config.data=mnist", "tfds build mnist"),
    train("unknown tfds name", "--config.data=tfds:mnits", "data='tfds:mnits'"),
    train("series for a flow", "--config.data=spirals", "latent ODEs are for series"),
    Case("missing folder of images", images("TMP/own"), "neither a folder"),
    Case("missing .npz", images("TMP/own.npz"), "cannot be read"),
    Case(
        "folder without classes",
        images("TMP/own"),
        "for each class",
        lambda tmp: (tmp / "own").mkdir(),
    ),
    Case("another kind of image", images("TMP/own"), "a.tiff", with_other_image),
    Case("images of two sizes", images("TMP/own"), "dogs/0.png", with_larger),
    Case("truncated image", images("TMP/own"), "cats/2.png", with_truncated),
    Case("class in test alone", images("TMP/own"), "test/dogs", with_unknown_class),
    Case(
        "missing array",
        images("TMP/own.npz"),
        "x_train, y_train, x_test",
        arrays(y_test=None),
    ),
    Case("truncated .npz", images("TMP/own.npz"), "cannot be read", truncated_arrays),
    Case(
        "float images",
        images("TMP/own.npz"),
        "must be uint8",
        arrays(x_train=np.zeros([4, 4, 4])),
    ),
    Case(
        "labels as text",
        images("TMP/own.npz"),
        "must be integer labels",
        arrays(y_train=np.array(["a", "b", "c", "d"])),
    ),
    Case(
        "more images than labels",
        images("TMP/own.npz"),
        "4 examples, 3 labels",
        arrays(y_train=np.zeros([3], np.int32)),
    ),
    Case(
        "test images of another size",
        images("TMP/own.npz"),
        "the same shapes",
        arrays(x_test=np.zeros([2, 6, 4], np.uint8)),
    ),
    Case(
        "images with the channels first",
        images("TMP/own.npz"),
        "channels must come last",
        arrays(x_train=np.zeros([4, 3, 8, 8], np.uint8)),
    ),
    Case(
        "12 bits in integers of 16",
        images("TMP/own.npz"),
        "12 bits for instance",
        arrays(x_train=np.full([4, 4, 4], 4095, np.uint16)),
    ),
    Case("16 bits a pixel", images("TMP/own"), "deep.png", with_deep),
    Case(
        "one-hot labels",
        images("TMP/own.npz"),
        "not one-hot vectors",
        arrays(
            y_train=np.eye(2, dtype=np.int32)[[0, 1, 0, 1]],
            y_test=np.eye(2, dtype=np.int32),
        ),
    ),
    Case(
        "a class without training images",
        images("TMP/own.npz"),
        "none of class 1",
        arrays(y_test=np.array([0, 1])),
    ),
    Case(
        "labels beyond 32 bits",
        images("TMP/own.npz"),
        "from 0 to 1099511627776",
        arrays(y_train=np.array([0, 0, 0, 2**40])),
    ),
    train("unknown version", "--config.data=tfds:mnist:9.9.9", "tfds:mnist:9.9.9"),
    train("unknown option", "--config.data=tfds:mnist/foo=1", "tfds:mnist/foo=1"),
    train("another collection", "--config.data=tfds:huggingface:mnist", "huggingface"),
    # run folders
    Case(
        "folder below a file",
        f"train {CONFIG} {DATA} --workdir=TMP/file/run",
        "cannot be written",
        a_file,
    ),
    Case(
        "folder that cannot be written",
        f"train {CONFIG} {DATA} --workdir=/proc/tfcnf",
        "cannot be written",
    ),
    train("foreign folder", "", "not of a run", a_foreign_folder),
    train("folder of another run", "", "holds a run with", another_run),
    Case("no run", f"evaluate --workdir=TMP {DATA}", "no run in this folder"),
    Case(
        "truncated config.json",
        f"evaluate --workdir=TMP/run {DATA}",
        "damaged",
        damaged("config.json"),
    ),
    Case(
        "run without checkpoints",
        f"evaluate --workdir=TMP/run {DATA}",
        "no checkpoint yet",
        without_checkpoints,
    ),
    Case(
        "truncated checkpoints",
        f"evaluate --workdir=TMP/run {DATA}",
        "no checkpoint can be read",
        damaged("checkpoints/*.data*"),
    ),
    Case(
        "checkpoint of another architecture",
        f"evaluate --workdir=TMP/run {DATA}",
        "another architecture",
        other_architecture,
    ),
    Case(
        "fewer epochs than before",
        f"train {SAME} --workdir=TMP/run {DATA} --config.training.epochs=1",
        "more and not fewer",
        as_configured,
    ),
    Case(
        "exchanged data",
        f"train {SAME} --workdir=TMP/run {DATA} --config.training.epochs=3",
        "--changed_data",
        with_other_data,
    ),
    Case(
        "evaluation on exchanged data",
        f"evaluate --workdir=TMP/run {DATA}",
        "--changed_data",
        with_other_data,
    ),
    Case(
        "truncated data.json",
        f"evaluate --workdir=TMP/run {DATA}",
        "data.json is damaged",
        damaged("data.json"),
    ),
    train("weights of no run", "--init_from=TMP", "a run with a checkpoint"),
    # evaluation, sampling, reports
    Case("text for a tolerance", f"{EVALUATE} --tol=1e-3,abc", "tol='abc'"),
    Case("negative tolerance", f"{EVALUATE} --tol=-1", "tol='-1'"),
    Case("unknown split", f"{EVALUATE} --split=dev", "split='dev'"),
    Case(
        "split that is not there",
        f"{EVALUATE} --split=validation",
        "holds a part of the training split out",
    ),
    Case(
        "best checkpoint of a run without validation",
        f"{EVALUATE} --best",
        "no best checkpoint",
    ),
    Case("unknown float type", f"{EVALUATE} --dtype=float16", "dtype='float16'"),
    Case("average of a run without", f"{EVALUATE} --weights=average", "no average"),
    Case("constant tolerances", f"{EVALUATE} --learned", "neither random nor learned"),
    Case(
        "learned tolerances at another",
        f"{EVALUATE} --learned --tol=1e-3",
        "takes none of --tol",
    ),
    Case(
        "diagnostic of another split",
        f"{EVALUATE} --uses=gallery --split=train",
        "split='train'",
    ),
    Case(
        "label out of range",
        f"{SAMPLE} --label=10 --out=TMP/x.png",
        "labels must be in 0..9",
    ),
    Case(
        "unknown name of a class",
        "sample --workdir=RUN --label=ten --out=TMP/x.png",
        "or be the name of a class",
    ),
    Case("no images", f"{SAMPLE} --label=1 --num=0 --out=TMP/x.png", "num=0"),
    Case(
        "picture in a missing folder",
        f"{SAMPLE} --label=1 --out=TMP/no/x.png",
        "existing folder",
    ),
    Case("report of nothing", "report --runs=TMP/none", "TMP/none"),
    Case("two reports at once", "report --runs=a --workdir=b", "Exactly one"),
    Case("operations of a run without", "operations --workdir=RUN", "no trace"),
    # the library
    library(
        "vectors of integers",
        "model.log_prob([[1, 2]], [0])",
        "must be floating-point",
        lambda: tiny().log_prob([[1, 2]], [0]),
    ),
    library(
        "NaN among the examples",
        "model.log_prob([[nan, 0.]], [0])",
        "must be finite",
        lambda: tiny().log_prob([[float("nan"), 0.0]], [0]),
    ),
    library(
        "images of another shape",
        "model.classify(x[:, :3])",
        "[batch, 4, 4, 1]",
        lambda: image_model().classify(np.zeros([2, 3, 4, 1], np.uint8)),
    ),
    library(
        "levels out of range",
        "model.classify(x + 17)",
        "grey levels 0..16",
        lambda: image_model().classify(np.full([2, 4, 4, 1], 17, np.uint8)),
    ),
    library(
        "float labels",
        "model.sample([0.5])",
        "must be integers",
        lambda: tiny().sample([0.5]),
    ),
    library(
        "a number of samples for their labels",
        "model.sample(5)",
        "takes the labels of the samples, not their number",
        lambda: tiny().sample(5),
    ),
    library(
        "codes of another length",
        "model.decode(zeros([2, 3]))",
        "[batch, 2]",
        lambda: tiny().decode(np.zeros([2, 3], np.float32)),
    ),
    library(
        "unknown posterior",
        'model.classify(x, "bayes")',
        "posterior='bayes'",
        lambda: tiny().classify(np.zeros([2, 2], np.float32), "bayes"),
    ),
    library(
        "text for a tolerance",
        'model.encode(x, tol="1e-3")',
        "tol must be a number",
        lambda: tiny().encode(np.zeros([2, 2], np.float32), tol="1e-3"),
    ),
    library(
        "no examples at a time",
        "model.log_prob(x, y, batch_size=0)",
        "Received: batch_size=0",
        lambda: tiny().log_prob(POINTS, CLASSES, batch_size=0),
    ),
    library(
        "times outside the flow",
        "model.trajectory(x, [0.5, 2.0])",
        "in [0, 1]",
        lambda: tiny().trajectory(POINTS, [0.5, 2.0]),
    ),
    library(
        "negative weights",
        "model.fit(x, y, sample_weight=[1.0, -1.0])",
        "finite and not negative",
        lambda: compiled().fit(POINTS, CLASSES, sample_weight=WEIGHTS, verbose=0),
    ),
    library(
        "weights of classes that there are not",
        "model.fit(x, y, class_weight={2: 1.0})",
        "for classes 0..1",
        lambda: compiled().fit(POINTS, CLASSES, class_weight={2: 1.0}),
    ),
    library(
        "training without labels",
        "model.fit(x)",
        "labels",
        lambda: compiled().fit(POINTS, verbose=0),
    ),
    library(
        "measures of Keras",
        'model.compile("sgd", metrics=["mse"])',
        "metrics=['mse']",
        lambda: tiny().compile("sgd", metrics=["mse"]),
    ),
    library(
        "a second derivative",
        "outer.gradient(inner.gradient(model.log_prob(x, y), x), x)",
        "only the gradient `store`",
        second_derivative,
    ),
    library(
        "a forward-mode derivative",
        "with tf.autodiff.ForwardAccumulator(x, ones): model.encode(x)",
        "a solve has no forward-mode derivative",
        forward_mode,
    ),
    library(
        "a model in a graph",
        "with tf.Graph().as_default(): InfoCNF(...)",
        "outside of tf.function",
        in_a_graph,
    ),
    library(
        "export by Keras",
        "model.export(path)",
        "launch/export.py",
        lambda: tiny().export("somewhere"),
    ),
    library(
        "series of one dimension",
        "make_series(zeros([2, 5]), times)",
        "[batch, times, dimensions]",
        lambda: make_series(np.zeros([2, 5]), np.arange(5)),
    ),
    library(
        "times that do not increase",
        "make_series(values, [0, 1, 1])",
        "a step of 0 in series 0",
        lambda: make_series(np.zeros([2, 3, 1]), [0, 1, 1]),
    ),
    library(
        "series of two widths",
        "pad_series([zeros([3, 1]), zeros([3, 2])], times)",
        "shape [times, 1]",
        lambda: pad_series([np.zeros([3, 1]), np.zeros([3, 2])], [range(3)] * 2),
    ),
    library(
        "times that are apart in float64 alone",
        "make_series(values, [0, 1e9, 1e9 + 1])",
        "cut a long series into shorter ones",
        lambda: make_series(np.zeros([2, 3, 1]), [0, 1e9, 1e9 + 1]),
    ),
    library(
        "a series without an observed value",
        "make_series(full([2, 3, 1], nan), times)",
        "none in series 0",
        lambda: make_series(np.full([2, 3, 1], np.nan), np.arange(3)),
    ),
    library(
        "a mask of neither points nor values",
        "make_series(values, times, mask=ones([2, 3, 1]))",
        "mask.shape=(2, 3, 1)",
        lambda: make_series(np.zeros([2, 3, 2]), np.arange(3), np.ones([2, 3, 1])),
    ),
    library(
        "a dimension that was never observed",
        "SeriesUnits.of(series)",
        "no value in dimension 1",
        lambda: SeriesUnits.of(make_series([[[1, np.nan], [2, np.nan]]], [0, 1])),
    ),
    library(
        "a label that is constant in training",
        "SeriesSource(..., labels=(Real(title='a'),)).model_keywords()",
        "supervises nothing",
        lambda: series_source(np.ones([2, 1])).model_keywords(),
    ),
    library(
        "irregular series that are said to be regular",
        "LatentODE(1, regular=True, ...).posterior(series)",
        "share their times",
        lambda: series_model(regular=True).posterior(SERIES),
    ),
    library(
        "a forecast at no time",
        "model.predict(series, [0, nan])",
        "times must be finite",
        lambda: series_model().predict(SERIES, [0.0, np.nan]),
    ),
    library(
        "an unknown encoder",
        "LatentODE(1, encoder='lstm')",
        "Received: encoder='lstm'",
        lambda: series_model(encoder="lstm"),
    ),
    library(
        "an option that an encoder does not have",
        "LatentODE(1, encoder='gru:start=orthogonal')",
        "options of encoder='gru' are units, gaps, correlated",
        lambda: series_model(encoder="gru:start=orthogonal"),
    ),
    library(
        "widths of the dynamics that are one number",
        "LatentODE(1, dynamics='mlp:units=64')",
        "a tuple of widths",
        lambda: series_model(dynamics="mlp:units=64"),
    ),
    library(
        "consistency of codes at one point alone",
        "LatentODE(1, consistency=1.0)",
        "needs random_start",
        lambda: series_model(consistency=1.0),
    ),
    library(
        "classes that are no number",
        "InfoCNF((2,), 2.5)",
        "labels must be numbers of classes",
        lambda: InfoCNF((2,), 2.5),
    ),
    library(
        "event shape of two sides",
        "InfoCNF((8, 8))",
        "event_shape must have",
        lambda: InfoCNF((8, 8)),
    ),
    library(
        "options of gates without gates",
        'InfoCNF((2,), reinforce={"price": 0.1})',
        "where tolerances are learned",
        lambda: tiny(reinforce={"price": 0.1}),
    ),
    library(
        "option of another policy",
        'InfoCNF((2,), policy_options={"width": 3})',
        "policy_options.width=3",
        lambda: tiny(policy_options={"width": 3}),
    ),
    library(
        "unknown cost",
        'InfoCNF((2,), costs={"energy": 0.1})',
        "costs='energy'",
        lambda: tiny(costs={"energy": 0.1}),
    ),
    library(
        "negative gap",
        "Reinforce(gap=-1.0)",
        "gap=-1.0",
        lambda: Reinforce(gap=-1.0),
    ),
    library(
        "level of an interval",
        "model.predict_labels(x, level=95)",
        "level=95",
        lambda: tiny().predict_labels(POINTS, level=95),
    ),
    library(
        "moments of other columns",
        "Whitening(zeros([2]), eye(2), context_dims=2)",
        "context_dims=2",
        lambda: Whitening(np.zeros(2), np.eye(2), context_dims=2),
    ),
    library(
        "unknown baseline",
        'Reinforce(baseline="mean")',
        "baseline='mean'",
        lambda: Reinforce(baseline="mean"),
    ),
    library(
        "odd side",
        "build_multiscale((6, 6, 1), make_flow, 3)",
        "divisible by 4",
        lambda: build_multiscale((6, 6, 1), None, 3),
    ),
    library(
        "batch that parts do not divide",
        "run_epochs(..., batch_size=8, accumulation_steps=3)",
        "3 accumulation steps",
        lambda: small_loop(8, accumulation_steps=3),
    ),
    library(
        "labels of unknown classes",
        "DataSource(..., labels=(2,))",
        "labels from 0 to 2",
        lambda: source(np.zeros([2, 2]), [[0], [2]]),
    ),
    library(
        "infinite examples",
        "DataSource(...)",
        "must be finite",
        lambda: source([[np.inf, 0.0]], [[0]]),
    ),
    library(
        "configuration without a key",
        "check_config(config)",
        "without 'seed'",
        lambda: check_config(
            {k: v for k, v in default_config().items() if k != "seed"}
        ),
    ),
    library(
        "unknown policy",
        'build_policies("learnt", ...)',
        "policy='learnt'",
        lambda: build_policies(
            "learnt", {}, first=True, tol=1e-3, adjoint_tol=None, seed=0, dtype=None
        ),
    ),
    library(
        "unknown data",
        'catalog.get("cifar")',
        "Did you mean 'cifar10'?",
        lambda: catalog.get("cifar"),
    ),
    table("unknown column", "--config.table.x=aeg", "Did you mean 'age'"),
    table(
        "column for two things",
        "--config.table.x=age --config.table.context=age",
        "one thing alone",
    ),
    table("text to model", "--config.table.x=age,town", "as label or context"),
    table(
        "text in a column of numbers",
        "--config.table.x=age",
        "unknown in row 1",
        people("20.5", "unknown"),
    ),
    table(
        "missing value",
        "--config.table.x=income",
        "column 'income' without a value in row 2",
        people(",1.25", ","),
    ),
    table(
        "value outside bounds",
        "--config.table.x=age --config.table.kinds=age=25..90",
        "Received: 20.5 in row 1",
    ),
    table(
        "infinite value",
        "--config.table.x=age",
        "Received: inf in row 1",
        people("20.5", "inf"),
    ),
    table(
        "another delimiter",
        "--config.table.x=age",
        "separated by commas",
        people("age,income,town", "age;income;town"),
    ),
    table(
        "ragged rows",
        "--config.table.x=age",
        "longer than the line of names",
        people("20.5", "20,5"),
    ),
    table(
        "another encoding",
        "--config.table.x=age",
        "not in UTF-8",
        people("R", "\xd6", "latin1"),
    ),
    table(
        "empty table",
        "--config.table.x=age",
        "it is empty",
        people(PEOPLE, ""),
    ),
    table(
        "column named twice",
        "--config.table.x=age",
        "'age' more than once",
        people("income", "age"),
    ),
    table(
        "split without rows",
        "--config.table.x=age --config.table.test=0.001",
        "every split must have a row",
    ),
    table(
        "kind that is none",
        "--config.table.x=age --config.table.kinds=age=wide",
        "the kind of a column",
    ),
    table(
        "table without labels for a model with labels",
        "--config.table.x=age --config.model_name=ccnf",
        "a table without labels is for cnf",
    ),
    Case(
        "series without the names of their columns",
        "train --config=configs/series.py --config.data=TMP/t.csv --workdir=TMP/run",
        "series of a file need config.series.subject and config.series.time",
        people(),
    ),
    Case(
        "columns of a set of the catalog",
        "train --config=configs/series.py --config.series.subject=a --workdir=TMP/run",
        "config.series is for the columns of a file",
    ),
    Case(
        "rows to a run on images",
        "predict --workdir=RUN --table=TMP/t.csv --out=TMP/answers.csv",
        "the run must be on a table",
        people(),
    ),
    rows_of(
        "rows to an export of images",
        "one of images answers about --images",
        prepare=exported("images.json", {}),
    ),
    rows_of("rows to no export", "the folder must be an export", prepare=people()),
    Case(
        "images to an export of a table",
        "predict --saved_model=TMP/export --images=TMP --out=TMP/answers.csv",
        "one of vectors answers about a --table",
        exported(),
    ),
    Case(
        "images to a run",
        "predict --workdir=RUN --images=TMP --out=TMP/answers.csv",
        "--workdir is for a --table",
    ),
    rows_of(
        "export without named columns",
        "the columns of the export have no names",
        prepare=exported(record={"columns": [], "context": [], "labels": []}),
    ),
    rows_of("table without a column", "must have the column 'age'", "age", "aeg"),
    rows_of("column twice", "'age' more than once", "income", "age"),
    rows_of("text in a row's number", "unknown in row 1", "20.5", "unknown"),
    rows_of("row without a value", "none in row 1", "20.5", ""),
    rows_of("row with an infinite value", "inf in row 1", "20.5", "inf"),
    rows_of("row outside bounds", "Received: -20.5 in row 1", "20.5", "-20.5"),
    rows_of("unknown category", "Received: L in row 1", "R", "L"),
    rows_of(
        "column of an answer",
        "rename it. Received: columns log_prob",
        PEOPLE,
        PEOPLE.replace("\n", ",0\n").replace(",0", ",log_prob", 1),
    ),
    rows_of("unknown question", "'logprob'", change="--questions=logprob"),
    rows_of(
        "labels of a model without", "cannot predict them", change="--questions=labels"
    ),
    rows_of("no samples", "samples=0", change="--samples=0"),
    rows_of("rows in another encoding", "not in UTF-8", "R", "é", encoding="latin-1"),
    library(
        "no context where the model has one",
        "conditional.log_prob(x)",
        "this model has a context",
        lambda: conditional().log_prob(POINTS),
    ),
    library(
        "a context of another width",
        "conditional.log_prob(x, context=[[0, 0]] * n)",
        "context must have shape [batch, 3]",
        lambda: conditional().log_prob(POINTS, context=np.zeros([len(POINTS), 2])),
    ),
    library(
        "a context of another batch size",
        "conditional.log_prob(x, context=c[:3])",
        "rows of context=3",
        lambda: conditional().log_prob(POINTS, context=np.zeros([3, 3])),
    ),
    library(
        "NaN in a context",
        "conditional.sample(2, context=[nan, 0, 0])",
        "context must be finite",
        lambda: conditional().sample(2, context=[float("nan"), 0.0, 0.0]),
    ),
    library(
        "a context where the model has none",
        "model.sample([0], context=[0, 0, 0])",
        "this model has no context",
        lambda: tiny().sample([0], context=np.zeros([3])),
    ),
    library(
        "a batch of other names",
        'conditional.terms({"x": x, "c": c}, ...)',
        "a dictionary of x, c",
        lambda: conditional().terms({"x": POINTS, "c": POINTS}, None, Control(), True),
    ),
    library(
        "a condition that the embedding refuses",
        "CNF((2,), context=(4, 4), embedding=Conv2D(2, 3))",
        "embedding must take conditions",
        lambda: CNF((2,), context=(4, 4), embedding=keras.layers.Conv2D(2, 3)),
    ),
    library(
        "an embedding that gives no vectors",
        "CNF((2,), context=(4, 4), embedding=Dense(2))",
        "into vectors",
        lambda: CNF((2,), context=(4, 4), embedding=keras.layers.Dense(2)),
    ),
    library(
        "dynamics without a context in a model with one",
        "CNF((2,), context=3, flow=own).sample(1, context=[0, 0, 0])",
        "DenseDynamics takes no context",
        lambda: blind().sample(1, context=np.zeros([3])),
    ),
]


def rows():
    """The table's rows by what is wrong and the call."""
    lines = TABLE.read_text().splitlines() if TABLE.exists() else []
    cells = [line[2:-2].split(" | ") for line in lines if line.startswith("| ")]
    return {tuple(row[:2]): row[2] for row in cells}


@pytest.fixture(scope="module")
def written():
    """Collects what was said; writes the table where it is asked for."""
    said = {}
    yield said
    if os.environ.get("TFCNF_WRITE_TABLE"):
        body = "".join(f"| {a} | {b} | {c} |\n" for (a, b), c in said.items())
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(HEAD + body)


def start(path, main):
    if main:
        command_line.run(main)
    else:
        runpy.run_path(path, run_name="__main__")


@pytest.fixture
def call(monkeypatch, capsys):
    """A function of a case with its places filled in -> (exit status, message)."""
    before = set(flags.FLAGS)

    def run(name, arguments, main):
        path = str(ROOT / "launch" / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [path, *arguments])
        try:
            with pytest.raises(SystemExit) as end:
                start(path, main)
        finally:
            new = {n: flags.FLAGS[n] for n in flags.FLAGS if n not in before}
            flags.FLAGS.remove_flag_values(new)
        return end.value.code, capsys.readouterr().err

    return run


def offline(*_):
    raise socket.gaierror(socket.EAI_AGAIN, "no network")


def tree(folder):
    return sorted((p, p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.call.split()[0]}: {c.what}")
def test_a_wrong_call_is_one_line_and_status_2(
    case, call, finished_run, data_dir, tmp_path, written, monkeypatch
):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(socket, "getaddrinfo", offline)
    (tmp_path / "finished").symlink_to(finished_run)
    if case.prepare:
        case.prepare(tmp_path)
    (tmp_path / "finished").unlink()
    before = tree(tmp_path)
    places = {"TMP": str(tmp_path), "DATA": data_dir, "RUN": str(finished_run)}
    text = case.call
    for name, place in places.items():
        text = text.replace(name, place)
    name, *arguments = text.split()
    status, message = call(name, [] if case.main else arguments, case.main)
    for name, place in [*places.items(), (".", str(ROOT))]:
        message = message.replace(place, name)
    assert status == 2
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert "Traceback" not in message
    assert "\x1b" not in message
    assert "object at 0x" not in message
    assert case.part in message
    assert tree(tmp_path) == before
    said = message.removeprefix("error: ").strip().replace("|", "\\|")
    key = (case.what, case.call if case.main else f"`{case.call}`")
    written[key] = said
    if not os.environ.get("TFCNF_WRITE_TABLE"):
        assert case.part in rows()[key], f"write {TABLE} anew, see above"


def test_the_table_has_every_case_and_no_other():
    calls = {(c.what, c.call if c.main else f"`{c.call}`") for c in CASES}
    assert len(calls) == len(CASES) >= 40
    head = {("what is wrong", "call"), ("---", "---")}
    assert set(rows()) - head == calls
