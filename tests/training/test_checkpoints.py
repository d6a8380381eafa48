import logging
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnf.models.infocnf import InfoCNF
from tfcnf.training.checkpoints import KEPT, Checkpoints, SaveCheckpoints


def make_model(units=2, extra=False, fill=None):
    """A compiled model whose variables all differ from one another."""
    layers = [keras.layers.Dense(units), keras.layers.Dropout(0.5, seed=0)]
    layers += [keras.layers.Dense(units)] if extra else []
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile(keras.optimizers.Adam(1e-2))
    model.optimizer.build(model.trainable_variables)
    if fill is not None:
        for i, variable in enumerate(state(model)):
            variable.assign(np.full(variable.shape, 100 * i + fill))
    return model


def state(model):
    return [*model.variables, *model.optimizer.variables]


def assert_filled(model, fill):
    for i, variable in enumerate(state(model)):
        np.testing.assert_array_equal(
            variable.numpy(), np.full(variable.shape, 100 * i + fill)
        )


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("template")
    for epoch in (1, 2, 3):
        Checkpoints(folder, make_model(fill=epoch)).save(epoch)
    return folder


@pytest.fixture
def saved(template, tmp_path):
    """Checkpoints of the epochs 1, 2 and 3, all variables filled with the epoch."""
    return shutil.copytree(template, tmp_path / "checkpoints")


def data_file(folder, epoch):
    return folder / f"ckpt-{epoch}.data-00000-of-00001"


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_bits(path):
    path.write_bytes(bytes(b ^ 255 for b in path.read_bytes()))


DAMAGES = {
    "data truncated": lambda folder, n: truncate(data_file(folder, n)),
    "data emptied": lambda folder, n: data_file(folder, n).write_bytes(b""),
    "data missing": lambda folder, n: data_file(folder, n).unlink(),
    "data wrong": lambda folder, n: flip_bits(data_file(folder, n)),
    "index truncated": lambda folder, n: truncate(folder / f"ckpt-{n}.index"),
    "index emptied": lambda folder, n: (folder / f"ckpt-{n}.index").write_bytes(b""),
}


def test_without_a_checkpoint_nothing_is_restored(tmp_path):
    model = make_model(fill=7)
    assert Checkpoints(tmp_path / "none", model).restore() == 0
    assert_filled(model, 7)


def test_the_newest_checkpoint_restores_every_variable(saved):
    model = make_model()
    assert Checkpoints(saved, model).restore() == 3
    assert_filled(model, 3)
    assert int(model.optimizer.iterations.numpy()) == 100 * len(model.variables) + 3


def test_every_variable_of_a_flow_model_is_in_the_file(tmp_path):
    model = InfoCNF((4,), 3, flows_per_block=2, filters=2, hidden_layers=1, seed=0)
    model.compile(keras.optimizers.Adam(1e-3))
    Checkpoints(tmp_path, model).save(1)
    values = state(model)
    assert len({id(v) for v in values}) == len(values)
    reader = tf.train.load_checkpoint(str(tmp_path / "ckpt-1"))
    names = [n for n in reader.get_variable_to_shape_map() if n.startswith("variables")]
    assert len(names) == len(values)
    read = sorted(reader.get_tensor(name).tobytes() for name in names)
    assert read == sorted(value.numpy().tobytes() for value in values)


def test_the_last_few_are_kept(tmp_path):
    model = make_model(fill=0)
    checkpoints = Checkpoints(tmp_path, model)
    for epoch in range(1, 6):
        checkpoints.save(epoch)
    assert KEPT == 3
    kept = sorted(path.name for path in tmp_path.glob("*.index"))
    assert kept == ["ckpt-3.index", "ckpt-4.index", "ckpt-5.index"]


def test_ten_comes_after_nine(tmp_path):
    for epoch in (9, 10):
        Checkpoints(tmp_path, make_model(fill=epoch)).save(epoch)
    model = make_model()
    assert Checkpoints(tmp_path, model).restore() == 10
    assert_filled(model, 10)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(saved, damage, caplog):
    DAMAGES[damage](saved, 3)
    model = make_model()
    with caplog.at_level(logging.WARNING):
        assert Checkpoints(saved, model).restore() == 2
    assert_filled(model, 2)
    assert [r.levelname for r in caplog.records if "damaged" in r.message] == [
        "WARNING"
    ]
    assert f"{saved / 'ckpt-3'} is damaged" in caplog.text
    assert "falling back" in caplog.text


def test_an_intact_newest_checkpoint_gives_no_warning(saved, caplog):
    DAMAGES["data truncated"](saved, 2)
    with caplog.at_level(logging.WARNING):
        assert Checkpoints(saved, make_model()).restore() == 3
    assert "damaged" not in caplog.text


def test_a_save_that_was_cut_off_before_its_index_does_not_count(saved, caplog):
    (saved / "ckpt-4.data-00000-of-00001").write_bytes(b"half of it")
    (saved / "ckpt-4_temp").mkdir()
    model = make_model()
    assert Checkpoints(saved, model).restore() == 3
    assert_filled(model, 3)
    assert "damaged" not in caplog.text


@pytest.mark.parametrize("text", ["", "model_checkpoint_path: "])
def test_a_damaged_list_of_checkpoints_does_no_harm(saved, text):
    (saved / "checkpoint").write_text(text)
    model = make_model()
    assert Checkpoints(saved, model).restore() == 3
    assert_filled(model, 3)


def test_training_goes_on_after_a_fallback(saved):
    DAMAGES["data truncated"](saved, 3)
    checkpoints = Checkpoints(saved, make_model())
    assert checkpoints.restore() == 2
    for epoch in (3, 4, 5):
        checkpoints.save(epoch)
    assert Checkpoints(saved, make_model()).restore() == 5
    kept = sorted(path.name for path in saved.glob("*.index"))
    assert kept == ["ckpt-3.index", "ckpt-4.index", "ckpt-5.index"]
    model = make_model()
    DAMAGES["data truncated"](saved, 5)
    DAMAGES["data truncated"](saved, 4)
    assert Checkpoints(saved, model).restore() == 3
    assert_filled(model, 2)  # what was restored, saved again as epoch 3


def test_only_damaged_checkpoints_are_a_value_error(saved):
    for epoch, damage in zip((1, 2, 3), DAMAGES, strict=False):
        DAMAGES[damage](saved, epoch)
    with pytest.raises(ValueError, match="no checkpoint can be read") as failure:
        Checkpoints(saved, make_model()).restore()
    assert f"Received: {saved}" in str(failure.value)


@pytest.mark.parametrize("other", [{"units": 4}, {"extra": True}])
def test_a_checkpoint_of_another_architecture_is_a_value_error(saved, other):
    with pytest.raises(ValueError, match="another architecture") as failure:
        Checkpoints(saved, make_model(**other)).restore()
    assert f"Received: {saved / 'ckpt-3'}" in str(failure.value)


def test_a_checkpoint_of_a_larger_model_is_a_value_error(tmp_path):
    Checkpoints(tmp_path, make_model(extra=True)).save(1)
    with pytest.raises(ValueError, match="another architecture"):
        Checkpoints(tmp_path, make_model()).restore()


def test_a_second_model_of_the_same_process_is_restored(tmp_path):
    first, second = (
        InfoCNF((4,), 3, flows_per_block=1, filters=2, hidden_layers=1, seed=seed)
        for seed in (0, 1)
    )
    for model in (first, second):
        model.compile(keras.optimizers.Adam(1e-3))
    Checkpoints(tmp_path, first).save(1)
    assert Checkpoints(tmp_path, second).restore() == 1
    for mine, theirs in zip(state(second), state(first), strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_a_mirrored_model_is_saved_and_restored(mirrored, tmp_path):
    with mirrored.scope():
        Checkpoints(tmp_path, make_model(fill=4)).save(4)
        double = make_model()
        assert Checkpoints(tmp_path, double).restore() == 4
    single = make_model()
    assert Checkpoints(tmp_path, single).restore() == 4
    assert_filled(double, 4)
    assert_filled(single, 4)


def test_save_checkpoints_saves_after_each_epoch(tmp_path):
    model = make_model(fill=0)
    callback = SaveCheckpoints(Checkpoints(tmp_path, model))
    callback.on_epoch_end(0)
    callback.on_epoch_end(1)
    assert sorted(path.name for path in tmp_path.glob("*.index")) == [
        "ckpt-1.index",
        "ckpt-2.index",
    ]
    assert Checkpoints(tmp_path, make_model()).restore() == 2
