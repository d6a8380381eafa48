import functools
import importlib.util
import json
import signal
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from ml_collections import config_flags

from tfcnf import command_line
from tfcnf.data import catalog, spirals, toy2d
from tfcnf.data.source import DataSource, Split
from tfcnf.ode.status import SolverError
from tfcnf.registry import IMPORTS
from tfcnf.runs import build, experiment
from tfcnf.runs.config import check_config, default_config, parse_variant
from tfcnf.runs.run import Run
from tfcnf.runs.sweep import run_apart
from tfcnf.tolerances.policy import TolerancePolicy, parse_tolerances

ROOT = Path(__file__).parents[2]
IMAGES = {"cifar10": "images", "digits": "digits", "mnist": "images"}
SHAPES = {"digits": (8, 8, 1), "mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
MODELS = ["infocnf", "ccnf", "cnf"]
DROP = object()


def load_config(path, *variant):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(*variant).to_dict()


def load_images(data, *parts):
    """The configuration of a data set of images."""
    stem = IMAGES[data]
    chosen = [f"data={data}"] * (stem == "images") + [part for part in parts if part]
    return load_config(ROOT / "configs" / f"{stem}.py", ",".join(chosen))


def change(config, key, value):
    """Sets, or drops, ``"group.key"``."""
    *groups, name = key.split(".")
    for group in groups:
        config = config[group]
    if value is DROP:
        del config[name]
    else:
        config[name] = value


@pytest.fixture(scope="module", autouse=True)
def spirals_are_drawn_once():
    with pytest.MonkeyPatch.context() as patch:
        for name in spirals.DESIGNS:
            patch.setitem(catalog.LOADERS, name, functools.cache(catalog.LOADERS[name]))
        yield


@pytest.fixture
def refused(config, data_dir, tmp_path, monkeypatch):
    """A function that trains with a change and returns the message of the error."""

    def begun(*_, **__):
        raise AssertionError("the run was begun")

    for step in ("run_epochs", "leave_results"):
        monkeypatch.setattr(experiment, step, begun)

    def train(key, value, workdir=tmp_path / "run"):
        change(config, key, value)
        with pytest.raises(ValueError, match="Received: ") as failure:
            experiment.train(config, str(workdir), data_dir=data_dir)
        return str(failure.value)

    return train


# configurations


def test_there_is_a_configuration_for_each_data_set():
    names = {path.stem for path in (ROOT / "configs").glob("*.py")}
    others = {"factors", "mixture1d", "toy2d", "spirals", "series", "table", "mnist"}
    assert names == others | set(IMAGES.values())
    assert set(IMAGES) == set(SHAPES)


POINTS = [("mixture1d", "mixture1d", "")] + [
    ("toy2d", name, f"data={name},") for name in toy2d.TOYS
]


@pytest.mark.parametrize(("stem", "data", "choice"), POINTS)
@pytest.mark.parametrize("model", MODELS)
def test_every_configuration_of_points_makes_a_model(stem, data, choice, model):
    config = load_config(ROOT / "configs" / f"{stem}.py", f"{choice}model={model}")
    check_config(config)
    assert (config["data"], config["model_name"]) == (data, model)
    built = build.build_model(config, catalog.get(data))
    assert built.flow.num_solves == 1
    assert built.is_supervised == (model != "cnf")
    small = load_config(ROOT / "configs" / f"{stem}.py", f"{choice}smoke")
    assert small["training"]["epochs"] == 1


@pytest.mark.parametrize(
    ("data", "model"),
    [("diabetes", "cnf"), ("wine", "infocnf"), ("breast_cancer", "ccnf")],
)
def test_every_configuration_of_tables_makes_a_model(data, model):
    path = ROOT / "configs" / "table.py"
    config = load_config(path, f"data={data},model={model}")
    check_config(config)
    source = build.read_source(config, None)
    assert source.validation is not None
    built = build.build_model(config, source)
    assert built.columns[0].scale != 1
    assert built.is_supervised == (model != "cnf")
    assert load_config(path, "smoke")["training"]["epochs"] == 1
    config["table"]["where"] = "here"
    with pytest.raises(ValueError, match=r"unknown key in config\.table"):
        check_config(config)


@pytest.mark.parametrize("data", list(spirals.DESIGNS))
@pytest.mark.parametrize("partition", ["code", "head", "none"])
def test_every_configuration_of_spirals_makes_a_model(data, partition):
    path = ROOT / "configs" / "spirals.py"
    for budget in ("standard", "short", "paper", "parity"):
        text = f"data={data},partition={partition},budget={budget}"
        if budget == "parity" and data == "spirals_held_out":
            with pytest.raises(ValueError, match="Received: data=spirals_held_out"):
                load_config(path, text)
            text = f"partition={partition},budget={budget}"
        config = load_config(path, text)
        check_config(config)
        assert config["data"] == ("spirals_reference" if budget == "parity" else data)
        training = config["training"]
        if budget in ("paper", "parity"):
            assert training["batch_size"] == 5000
            assert training["epochs"] * training["passes"] == 20_000
            assert config["optimizer"]["learning_rate"] == 1e-3
    source = build.read_source(load_config(path, text), None)
    built = build.build_model(load_config(path, text), source)
    assert built.is_supervised == (partition != "none")
    assert sum(built.partition.supervised) == (3 if partition == "code" else 0)
    assert source.train.passes == 100


@pytest.mark.parametrize(
    ("model", "data"), [("latent_ode", "digits"), ("cnf", "spirals")]
)
def test_a_model_for_other_data_is_refused(model, data, data_dir, tmp_path):
    config = default_config(model) | {"data": data}
    with pytest.raises(ValueError, match=f"Received: model_name='{model}'"):
        experiment.train(config, str(tmp_path / "run"), data_dir=data_dir)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("training.passes", 0, "Received: passes=0"),
        ("training.batch_size", 5001, "4500 training"),
        ("model.partition", "codes", "Received: partition='codes'"),
        ("model.latent_dim", 5, "Did you mean 'latent_dims'?"),
    ],
)
def test_a_bad_value_for_spirals_is_refused(key, value, message, tmp_path):
    config = load_config(ROOT / "configs" / "spirals.py")
    change(config, key, value)
    with pytest.raises(ValueError, match="Received: ") as failure:
        experiment.train(config, str(tmp_path / "run"))
    assert message in str(failure.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("data", IMAGES)
def test_every_variant_of_a_configuration_is_accepted(data):
    sizes = (128, 718) if data == "digits" else (900, 8000)
    batches = [[], *([f"batch={size}"] for size in sizes)]
    fractions = {"infocnf": 0.5, "ccnf": 1.0, "cnf": 0.0}
    for model in MODELS:
        for batch in batches:
            for smoke in ([], ["smoke"], ["smoke=True"], ["smoke=False"]):
                parts = [f"model={model}", *batch, *smoke]
                config = load_images(data, *parts)
                check_config(config)
                assert config["data"] == data
                assert config["model_name"] == model
                assert config["model"]["supervised_fraction"] == fractions[model]
                assert config["model"]["adjoint_tol"] is None
                if batch:
                    size = int(batch[0].removeprefix("batch="))
                    assert config["training"]["batch_size"] == size
                small = smoke in (["smoke"], ["smoke=True"])
                assert (config["training"]["epochs"] == 1) == small
                assert (config["model"]["filters"] <= 8) == small


@pytest.mark.parametrize("data", IMAGES)
@pytest.mark.parametrize("policy", ["fixed", "scheduled", "random", "learned"])
def test_every_policy_of_a_configuration_is_accepted(data, policy):
    for model in MODELS:
        config = load_images(data, f"model={model},policy={policy},smoke")
        check_config(config)
        assert config["model"]["policy"] == policy
        assert bool(config["model"]["policy_options"]) == (policy != "fixed")
        assert bool(config["model"]["reinforce"]) == (policy == "learned")


@pytest.mark.parametrize("data", IMAGES)
def test_without_a_variant_the_default_is_the_first_choice(data):
    path = ROOT / "configs" / f"{IMAGES[data]}.py"
    config = load_config(path)
    assert config == load_config(path, None) == load_config(path, "model=infocnf")
    assert config["data"] == ("digits" if data == "digits" else "mnist")
    assert config["training"]["epochs"] > 1


@pytest.mark.parametrize("data", IMAGES)
@pytest.mark.parametrize("model", MODELS)
def test_every_configuration_makes_a_model(data, model):
    config, shape = load_images(data, f"model={model}"), SHAPES[data]
    x = np.zeros([config["training"]["batch_size"], *shape], np.uint8)
    split = Split(x, np.zeros([len(x), 1], np.int32))
    levels = 17 if data == "digits" else 256
    built = build.build_model(config, DataSource("x", split, split, (10,), levels))
    # scales x (flows before and after each squeeze), after the last scale only before
    flows = config["model"]["flows_per_block"]
    assert built.flow.num_solves == flows * (2 * config["model"]["num_scales"] - 1)
    # InfoCNF section 4.1: the linear q_phi has weights for each class and dimension
    supervised = int(config["model"]["supervised_fraction"] * np.prod(shape))
    q_phi = [10 * 2 * supervised, 2 * supervised, 2 * supervised]
    assert sum(label.q_phi.count_params() for label in built.labels) == sum(q_phi)


@pytest.mark.parametrize("data", ["mnist", "mnist_5k"])
def test_the_small_network_for_mnist_has_three_cnfs(data):
    for policy in TolerancePolicy.known:
        path, text = ROOT / "configs" / "mnist.py", f"data={data},policy={policy}"
        config = load_config(path, text)
        check_config(config)
        own = TolerancePolicy.find(policy).steps  # between two measures of honesty
        assert config["training"]["honesty"] == (own or 200)
        assert config == load_config(path, f"{text},size=small")
        scales, flows = (config["model"][k] for k in ("num_scales", "flows_per_block"))
        assert flows * (2 * scales - 1) == 3
        check_config(load_config(path, f"{text},size=paper,smoke"))


@pytest.mark.parametrize("model", [*MODELS, "latent_ode"])
def test_default_configurations_are_accepted(model):
    check_config(default_config(model))
    assert json.loads(json.dumps(default_config(model)))["model_name"] == model


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.filtrs", 3, "Did you mean 'filters'? Received: config.model.filtrs=3"),
        ("sed", 3, "Did you mean 'seed'? Received: config.sed=3"),
        (
            "model.policy_options.width",
            3,
            "unknown key in config.model.policy_options. "
            "Received: config.model.policy_options.width=3",
        ),
        ("model.policy", "learnt", "scheduled. Received: policy='learnt'"),
        ("model.policy", DROP, "Received: config.model without 'policy'"),
        ("training.xyz", 3, "in config.training. Received: config.training.xyz=3"),
        (
            "model_name",
            "info",
            "cnf, latent_ode. Received: model_name='info'",
        ),
        ("model_name", DROP, "Received: model_name=None"),
        ("training", 3, "Received: config.training=3"),
        ("evaluation", DROP, "Received: config.evaluation=None"),
        ("optimizer.decay", "linear", "piecewise. Received: decay='linear'"),
        ("seed", DROP, "Received: config without 'seed'"),
        ("training.epochs", DROP, "Received: config.training without 'epochs'"),
        ("optimizer.decay", DROP, "Received: config.optimizer without 'decay'"),
    ],
)
def test_a_bad_configuration_is_refused(key, value, message, config):
    change(config, key, value)
    with pytest.raises(ValueError, match="Received: ") as failure:
        check_config(config)
    assert message in str(failure.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.tol", 0, "tol must be positive and finite. Received: tol=0"),
        ("model.tol", -1e-3, "Received: tol=-0.001"),
        ("model.tol", float("nan"), "Received: tol=nan"),
        ("model.tol", "1e-3", "tol must be a number. Received: tol='1e-3'"),
        ("model.adjoint_tol", 0.0, "Received: adjoint_tol=0.0"),
        ("model.alpha", 0.5, "Received: alpha=0.5"),
        ("model.filters", 0, "Received: hidden="),
        ("model.num_scales", 5, "Received: image_shape=(8, 8, 1)"),
        ("model.supervised_fraction", 1.5, "Received: supervised_fraction=1.5"),
        ("model.trace", "exat", "Received: trace='exat'"),
        (
            "model.solver",
            "rk4",
            "reference, tfp, tsit5. Received: solver='rk4'",
        ),
        (
            "model.solver",
            "tsit5:steps=3",
            "solver='tsit5' are max_num_steps",
        ),
        ("model.gradient", "store:x=1", "are none. Received: gradient='store:x=1'"),
        ("training.batch_size", 1438, "1437 training"),
        ("training.batch_size", 0, "Received: batch_size=0"),
        ("optimizer.learning_rate", -1.0, "Received: base=-1.0"),
        ("optimizer.drop_epochs", (2, 1), "drops must be increasing"),
        ("data", "digit", "Did you mean 'digits'? Received: name='digit'"),
    ],
)
def test_a_bad_value_is_refused_before_a_folder_is_made(
    key, value, message, refused, tmp_path
):
    assert message in refused(key, value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("evaluation.tol", -1.0),
        ("evaluation.every", 0),
        ("evaluation.batch_size", 0),
        ("training.epochs", 0),
        ("optimizer.clipnorm", -1.0),
        ("seed", -1),
    ],
)
def test_values_that_fail_late_are_refused_before_a_folder_is_made(
    key, value, refused, tmp_path
):
    assert key.split(".")[-1] in refused(key, value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "run", "a/b"])
def test_a_folder_that_cannot_be_written_is_refused(below, refused, tmp_path):
    file = tmp_path / "file"
    file.write_text("precious")
    message = refused("seed", 0, file / below)
    assert f"Received: workdir={str(file / below)!r}" in message
    assert "cannot be written" in message
    assert file.read_text() == "precious"


CHOICES = {"model": ("infocnf", "ccnf"), "batch": (900, 8000), "smoke": (False, True)}


def test_variants_choose_among_the_choices():
    default = {"model": "infocnf", "batch": 900, "smoke": False}
    assert parse_variant(None, CHOICES) == parse_variant("", CHOICES) == default
    chosen = parse_variant("smoke,batch=8000,model=ccnf", CHOICES)
    assert chosen == {"model": "ccnf", "batch": 8000, "smoke": True}
    assert parse_variant("smoke=False", CHOICES) == default


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smoky", "known are model, batch, smoke. Did you mean 'smoke'?"),
        ("xyz", "unknown variant; known are model, batch, smoke. Received: 'xyz'"),
        ("model=cnnf", "model must be one of infocnf, ccnf. Received: 'model=cnnf'"),
        ("smoke,batch=90", "batch must be one of 900, 8000. Received: 'batch=90'"),
        ("model", "model must be one of infocnf, ccnf. Received: 'model'"),
        ("smoke=yes", "smoke must be one of False, True. Received: 'smoke=yes'"),
    ],
)
def test_a_bad_variant_is_refused(text, message):
    with pytest.raises(ValueError, match="Received: ") as failure:
        parse_variant(text, CHOICES)
    assert message in str(failure.value)


# evaluation and sampling


def test_tolerances_are_read_from_text():
    assert parse_tolerances(["1e-3", " 2", "0.5"]) == [1e-3, 2.0, 0.5]


@pytest.mark.parametrize("text", ["abc", "", "0", "-1e-5", "nan", "inf", "1e-3 1e-4"])
def test_text_that_is_no_tolerance_is_refused(text):
    with pytest.raises(ValueError, match="Received: tol=") as failure:
        parse_tolerances(["1e-3", text])
    assert str(failure.value).endswith(f"tol={text!r}")


def test_no_tolerance_is_refused():
    with pytest.raises(ValueError, match=r"Received: tol=\[\]"):
        parse_tolerances([])


@pytest.mark.parametrize("tol", [0.0, -1e-3, float("nan")])
def test_evaluation_at_a_bad_tolerance_leaves_the_results_alone(
    tol, run_copy, data_dir
):
    before = (run_copy / "eval.json").read_bytes()
    with pytest.raises(ValueError, match=f"Received: tol={tol}"):
        Run(run_copy, data_dir=data_dir).evaluate([tol])
    assert (run_copy / "eval.json").read_bytes() == before


def test_an_unknown_split_is_refused(run_copy, data_dir):
    with pytest.raises(ValueError, match=r"no split of this name .* Received: split="):
        Run(run_copy, data_dir=data_dir).evaluate([1e-2], split="validation")
    assert sorted(path.name for path in run_copy.glob("eval*")) == ["eval.json"]


def test_a_folder_without_a_run_cannot_be_evaluated(tmp_path, data_dir):
    with pytest.raises(ValueError, match="no run in this folder") as failure:
        Run(tmp_path, data_dir=data_dir).evaluate([1e-2])
    assert f"Received: workdir={str(tmp_path)!r}" in str(failure.value)


def test_a_run_without_a_checkpoint_cannot_be_evaluated(config, tmp_path, data_dir):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="no checkpoint yet") as failure:
        Run(tmp_path, data_dir=data_dir).evaluate([1e-2])
    assert f"Received: workdir={str(tmp_path)!r}" in str(failure.value)


def test_a_damaged_config_json_is_refused(run_copy, data_dir):
    (run_copy / "config.json").write_text('{"data": "dig')
    with pytest.raises(ValueError, match="damaged") as failure:
        Run(run_copy, data_dir=data_dir).evaluate([1e-2])
    assert f"Received: {run_copy / 'config.json'}" in str(failure.value)


@pytest.mark.parametrize("num", [0, -3])
def test_no_samples_are_refused(num, finished_run, data_dir, tmp_path):
    with pytest.raises(ValueError, match=f"Received: num={num}"):
        Run(finished_run, data_dir=data_dir).sample(3, num, out=str(tmp_path / "x.png"))


def test_a_picture_in_a_missing_folder_is_refused(finished_run, data_dir, tmp_path):
    out = str(tmp_path / "missing" / "x.png")
    with pytest.raises(ValueError, match="Received: out=") as failure:
        Run(finished_run, data_dir=data_dir).sample(3, 2, out=out)
    assert str(failure.value).endswith(f"out={out!r}")


# the command line, in this process


@pytest.fixture
def run(monkeypatch, capsys):
    """A function (arguments, main) -> (exit status, message, the flags)."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values)
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    flags.DEFINE_float("tol", 1e-5, "", flag_values=values)
    flags.DEFINE_list(*command_line.IMPORTS_FLAG, flag_values=values)
    flags.FLAGS.mark_as_parsed()
    made = {"FlagValues": flags.FlagValues, "DEFINE_list": flags.DEFINE_list}
    stub = types.SimpleNamespace(FLAGS=values, Error=flags.Error, **made)
    monkeypatch.setattr(command_line, "flags", stub)

    def call(arguments, main=lambda: None):
        monkeypatch.setattr(sys, "argv", ["launch/script.py", *arguments])
        with pytest.raises(SystemExit) as end:
            command_line.run(main)
        return end.value.code, capsys.readouterr().err, values

    return call


def digits_config(text=""):
    return f"--config={ROOT / 'configs' / 'digits.py'}{text}"


OWN_POLICY = """
import tfcnf

class Own(tfcnf.FixedTolerance):
    pass
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A file with a policy named "own"."""
    monkeypatch.setenv(IMPORTS, "")
    path = tmp_path / "own_policy.py"
    path.write_text(OWN_POLICY)
    yield path
    TolerancePolicy.known.pop("own", None)
    sys.modules.pop("own_policy", None)


def test_classes_of_ones_own_are_known_to_configurations_and_further_processes(
    run, own
):
    arguments = [digits_config(":smoke,policy=own"), "--imports", str(own)]
    status, _, values = run(arguments)
    assert status is None
    assert values.config.model.policy == "own"
    found = run_apart(TolerancePolicy.find, "own")
    assert found is TolerancePolicy.find("own")


def test_a_file_named_as_a_module_that_is_there_is_refused(run, own):
    status, message, _ = run([f"--imports={own.rename(own.with_name('random.py'))}"])
    assert status == 2
    assert "a module named random is there already" in message


@pytest.mark.parametrize("name", ["absent.py", "no.such_module", ".relative"])
def test_imports_that_are_not_there_are_refused(name, run, monkeypatch):
    monkeypatch.setenv(IMPORTS, "")
    status, message, _ = run([f"--imports={name}"])
    assert status == 2
    assert "imports must be modules that Python finds" in message
    assert f"{name}" in message


def test_good_flags_reach_main(run):
    seen = []
    arguments = [digits_config(":model=ccnf,smoke"), "--config.model.filters=3"]
    code, message, values = run(arguments, lambda: seen.append(1))
    assert (code, message, seen) == (None, "", [1])
    assert values["config"].value.model.filters == 3
    assert values["config"].value.model_name == "ccnf"


def exhausted(message):
    return tf.errors.ResourceExhaustedError(None, None, message)


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ValueError("bad. Received: x=3"), 2, "error: bad. Received: x=3\n"),
        (SolverError("cnf_1: too stiff"), 1, "error: cnf_1: too stiff\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (
            exhausted("{{node a}} b/ckpt; No space left on device [Op:SaveV2]"),
            2,
            "error: the disk is full; with more space the same command goes on. "
            "Received: b/ckpt; No space left on device\n",
        ),
        (
            exhausted("{{node c}} OOM when allocating tensor with shape[8,9]"),
            2,
            "error: too little memory; try a smaller batch or more accumulation_steps. "
            "Received: OOM when allocating tensor with shape[8,9]\n",
        ),
    ],
)
def test_errors_become_one_line_and_an_exit_status(error, status, message, run):
    def main():
        raise error

    assert run([], main)[:2] == (status, message)


def test_an_interrupt_that_is_swallowed_comes_again(run, monkeypatch):
    class Swallowing:
        def __del__(self):
            raise KeyboardInterrupt  # which Python ignores here

    def main():
        swallowing = Swallowing()
        del swallowing
        for _ in range(500):
            time.sleep(0.01)

    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # to be restored
    # where the tests run in the background, SIGINT is ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert run([], main)[:2] == (130, "error: interrupted\n")
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_mistake_in_the_program_keeps_its_traceback(run):
    def main():
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        run([], main)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--wrkdir=x"], ["wrkdir", "workdir"]),
        (["extra"], ["Received: ['extra']"]),
        (["--tol=abc"], ["tol", "abc"]),
        ([digits_config(), "--config.training.epochs=abc"], ["epochs", "abc"]),
        ([digits_config(), "--config.model.filtrs=3"], ["filtrs", "'filters'?"]),
        ([digits_config(), "--config.model.xyz=3"], ["no such key. Received: --"]),
        ([digits_config(), "--config.modl.filters=3"], ["modl", "'model'?"]),
        (
            [digits_config(":smoky")],
            ["Did you mean 'smoke'?", "Received: 'smoky'"],
        ),
        (
            [digits_config(":model=cnnf")],
            ["infocnf, ccnf, cnf", "Received: 'model=cnnf'"],
        ),
    ],
)
def test_bad_flags_are_one_line_and_status_2(arguments, parts, run):
    code, message, _ = run(arguments, lambda: pytest.fail("main was called"))
    assert code == 2
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert "Traceback" not in message
    for part in parts:
        assert part in message


def test_the_message_on_an_unknown_key_is_text_not_a_repr(run):
    _, message, _ = run([digits_config(), "--config.model.filtrs=3"])
    assert "\\" not in message


def test_a_configuration_file_that_is_not_there_is_bad_input(run):
    path = f"{ROOT}/configs/digit.py"
    values = None

    def main():
        values["config"].value.to_dict()

    code, message, values = run([f"--config={path}"])
    if code is None:  # not noticed before the configuration is used
        code, message, _ = run([f"--config={path}"], main)
    assert code == 2
    assert path in message


# the scripts


def test_evaluate_and_sample_do_what_their_flags_say(
    script, run_copy, data_dir, tmp_path, monkeypatch
):
    called = []

    def evaluate(run, tols, **options):
        called.append((run.workdir, run.data_dir, run.weights, run.best, tols, options))

    monkeypatch.setattr(Run, "evaluate", evaluate)
    folder, data = f"--workdir={run_copy}", f"--data_dir={data_dir}"
    assert (
        script("evaluate", folder, data, "--tol=1e-3,0.5", "--split=train")[0] is None
    )
    tols = [1e-3, 0.5]
    options = {"split": "train", "dtypes": []}
    assert called == [(str(run_copy), data_dir, None, None, tols, options)]
    out = tmp_path / "three.png"
    arguments = [folder, data, "--label=3", "--num=2", f"--out={out}"]
    assert script("sample", *arguments) == (None, "")
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "arguments", "part"),
    [
        ("train", ["--workdir=x"], "--config"),
        ("evaluate", [], "--workdir"),
        ("evaluate", ["--workdir=x", "--tol=1e-3,abc"], "Received: tol='abc'"),
        ("evaluate", ["--workdir=x"], "no run in this folder. Received: workdir='x'"),
        ("sample", ["--workdir=x"], "--out"),
        ("sample", ["--workdir=x", "--out=y.png", "--label=1"], "workdir='x'"),
        ("export", ["--workdir=x"], "--export_dir"),
        ("export", ["--workdir=x", "--export_dir=y"], "no run in this folder"),
        ("export", ["--workdir=x", "--export_dir=y", "--trace=z"], "--trace=z"),
        ("predict", ["--saved_model=x", "--images=y"], "--out"),
        ("predict", ["--saved_model=x", "--images=y", "--out=z.png"], "out='z.png'"),
        (
            "predict",
            ["--saved_model=x", "--images=y", "--out=z.csv"],
            "what launch/export.py made. Received: saved_model='x'",
        ),
    ],
)
def test_scripts_refuse_bad_flags(name, arguments, part, script):
    status, message = script(name, *arguments)
    assert status == 2
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert part in message


@pytest.mark.parametrize("label", [10, -1, "a"])
def test_sample_refuses_a_label_out_of_range(
    label, script, finished_run, data_dir, tmp_path
):
    out = tmp_path / "x.png"
    status, message = script(
        *("sample", f"--workdir={finished_run}", f"--data_dir={data_dir}"),
        *(f"--label={label}", "--num=1", f"--out={out}"),
    )
    assert status == 2
    names = ", ".join(map(str, range(10)))
    assert message == (
        f"error: labels must be in 0..9, or be the name of a class ({names}). "
        f"Received: label='{label}'\n"
    )
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--config.model.filtrs=3"], ["filtrs", "'filters'?"]),
        ([], ["not of a run", "Received: workdir="]),
    ],
    ids=["unknown key", "foreign folder"],
)
def test_a_training_that_is_refused_leaves_no_trace(
    arguments, parts, script, data_dir, tmp_path
):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("precious")
    folder = tmp_path / ("run" if arguments else "foreign")
    run = [f"--workdir={folder}", f"--data_dir={data_dir}", digits_config(":smoke")]
    status, message = script("train", *run, *arguments)
    assert status == 2
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    for part in parts:
        assert part in message
    assert [path.name for path in tmp_path.iterdir()] == ["foreign"]
    assert [path.name for path in (tmp_path / "foreign").iterdir()] == ["notes.txt"]
    assert (tmp_path / "foreign" / "notes.txt").read_text() == "precious"
