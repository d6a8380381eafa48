import logging
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfcnf.models.infocnf import InfoCNF
from tfcnf.training.checkpoints import (
    KEPT,
    SCRATCH,
    Checkpoints,
    Position,
    SaveCheckpoints,
    read_newest,
)


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
        Checkpoints(folder, make_model(fill=epoch)).save(Position(epoch))
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
    assert Checkpoints(tmp_path / "none", model).restore() == Position(0)
    assert_filled(model, 7)


def test_the_newest_checkpoint_restores_every_variable(saved):
    model = make_model()
    assert Checkpoints(saved, model).restore() == Position(3)
    assert_filled(model, 3)
    assert int(model.optimizer.iterations.numpy()) == 100 * len(model.variables) + 3


def test_every_variable_of_a_flow_model_is_in_the_file(tmp_path):
    model = InfoCNF((4,), 3, flows_per_block=2, filters=2, hidden_layers=1, seed=0)
    model.compile(keras.optimizers.Adam(1e-3))
    Checkpoints(tmp_path, model).save(Position(1))
    values = state(model)
    assert len({id(v) for v in values}) == len(values)
    reader = tf.train.load_checkpoint(str(tmp_path / "ckpt-1"))
    names = reader.get_variable_to_shape_map()
    assert len([n for n in names if n.startswith("metrics")]) == 2 * len(model.metrics)
    names = [n for n in names if n.startswith("variables")]
    assert len(names) == len(values)
    read = sorted(reader.get_tensor(name).tobytes() for name in names)
    assert read == sorted(value.numpy().tobytes() for value in values)


def test_the_last_few_are_kept(tmp_path):
    model = make_model(fill=0)
    checkpoints = Checkpoints(tmp_path, model)
    for epoch in range(1, 6):
        checkpoints.save(Position(epoch))
    assert KEPT == 3
    kept = sorted(path.name for path in tmp_path.glob("*.index"))
    assert kept == ["ckpt-3.index", "ckpt-4.index", "ckpt-5.index"]


def test_ten_comes_after_nine(tmp_path):
    for epoch in (9, 10):
        Checkpoints(tmp_path, make_model(fill=epoch)).save(Position(epoch))
    model = make_model()
    assert Checkpoints(tmp_path, model).restore() == Position(10)
    assert_filled(model, 10)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(saved, damage, caplog):
    DAMAGES[damage](saved, 3)
    model = make_model()
    with caplog.at_level(logging.WARNING):
        assert Checkpoints(saved, model).restore() == Position(2)
    assert_filled(model, 2)
    assert [r.levelname for r in caplog.records if "damaged" in r.message] == [
        "WARNING"
    ]
    assert f"{saved / 'ckpt-3'} is damaged" in caplog.text
    assert "falling back" in caplog.text


def test_an_intact_newest_checkpoint_gives_no_warning(saved, caplog):
    DAMAGES["data truncated"](saved, 2)
    with caplog.at_level(logging.WARNING):
        assert Checkpoints(saved, make_model()).restore() == Position(3)
    assert "damaged" not in caplog.text


def test_a_save_that_was_cut_off_before_its_index_does_not_count(saved, caplog):
    (saved / "ckpt-4.data-00000-of-00001").write_bytes(b"half of it")
    (saved / "ckpt-4_temp").mkdir()
    model = make_model()
    assert Checkpoints(saved, model).restore() == Position(3)
    assert_filled(model, 3)
    assert "damaged" not in caplog.text


def test_training_goes_on_after_a_fallback(saved):
    DAMAGES["data truncated"](saved, 3)
    checkpoints = Checkpoints(saved, make_model())
    assert checkpoints.restore() == Position(2)
    for epoch in (3, 4, 5):
        checkpoints.save(Position(epoch))
    assert Checkpoints(saved, make_model()).restore() == Position(5)
    kept = sorted(path.name for path in saved.glob("*.index"))
    assert kept == ["ckpt-3.index", "ckpt-4.index", "ckpt-5.index"]
    model = make_model()
    DAMAGES["data truncated"](saved, 5)
    DAMAGES["data truncated"](saved, 4)
    assert Checkpoints(saved, model).restore() == Position(3)
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
    Checkpoints(tmp_path, make_model(extra=True)).save(Position(1))
    with pytest.raises(ValueError, match="another architecture"):
        Checkpoints(tmp_path, make_model()).restore()


def test_a_second_model_of_the_same_process_is_restored(tmp_path):
    first, second = (
        InfoCNF((4,), 3, flows_per_block=1, filters=2, hidden_layers=1, seed=seed)
        for seed in (0, 1)
    )
    for model in (first, second):
        model.compile(keras.optimizers.Adam(1e-3))
    Checkpoints(tmp_path, first).save(Position(1))
    assert Checkpoints(tmp_path, second).restore() == Position(1)
    for mine, theirs in zip(state(second), state(first), strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_a_mirrored_model_is_saved_and_restored(mirrored, tmp_path):
    with mirrored.scope():
        Checkpoints(tmp_path, make_model(fill=4)).save(Position(4))
        double = make_model()
        assert Checkpoints(tmp_path, double).restore() == Position(4)
    single = make_model()
    assert Checkpoints(tmp_path, single).restore() == Position(4)
    assert_filled(double, 4)
    assert_filled(single, 4)


def indices(folder):
    return sorted(path.stem for path in folder.glob("*.index"))


def test_save_checkpoints_saves_after_epochs_and_every_few_steps(tmp_path):
    model = make_model(fill=0)
    callback = SaveCheckpoints(Checkpoints(tmp_path, model), every=4)
    callback.set_params({"steps": 10})
    callback.set_model(model)
    seen = []
    for epoch in range(2):
        callback.on_epoch_begin(epoch)
        for step in range(10):
            callback.on_train_batch_end(step)
            seen.append(read_newest(tmp_path)[0])
        callback.on_epoch_end(epoch)
        assert read_newest(tmp_path)[0] == (epoch + 1, 0)
    # every four steps, and between the last step of an epoch and its end
    assert sorted(set(seen)) == [
        *((0, 0), (0, 4), (0, 8), (0, 10)),
        *((1, 0), (1, 2), (1, 6), (1, 10)),
    ]
    assert indices(tmp_path) == ["ckpt-1", "ckpt-2"]


def test_steps_of_an_epoch_that_is_begun_again_are_removed_and_saved_anew(tmp_path):
    model = make_model(fill=0)
    callback = SaveCheckpoints(Checkpoints(tmp_path, model), every=4)
    callback.set_params({"steps": 10, "initial_epoch": 0, "initial_step": 2})
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    callback.checkpoints.save(Position(0, 2))
    callback.on_train_batch_end(3)
    assert indices(tmp_path) == ["ckpt-0-2", "ckpt-0-4"]
    callback.on_epoch_begin(0)  # a step failed, and the training went back
    assert indices(tmp_path) == ["ckpt-0-2"]
    model.weights[0].assign(tf.ones_like(model.weights[0]))
    callback.on_train_batch_end(3)
    model.weights[0].assign(tf.zeros_like(model.weights[0]))
    assert Checkpoints(tmp_path, model).restore() == (0, 4)
    np.testing.assert_array_equal(model.weights[0], 1)


def test_a_checkpoint_is_saved_where_the_training_is_told_to_stop(tmp_path):
    model = make_model(fill=0)
    callback = SaveCheckpoints(Checkpoints(tmp_path, model), every=100)
    callback.set_params({"steps": 10})
    callback.set_model(model)
    callback.on_epoch_begin(0)
    callback.on_train_batch_end(2)
    assert indices(tmp_path) == []
    model.stop_training = True
    callback.on_train_batch_end(3)
    assert indices(tmp_path) == ["ckpt-0-4"]


def test_within_an_epoch_the_running_means_are_restored(tmp_path):
    model = InfoCNF((4,), 3, flows_per_block=1, filters=2, hidden_layers=1, seed=0)
    model.compile(keras.optimizers.Adam(1e-3))
    for i, variable in enumerate(model.metrics_variables):
        variable.assign(100.0 + i)
    Checkpoints(tmp_path, model).save(Position(3, 7))
    model.reset_metrics()
    assert Checkpoints(tmp_path, model).restore() == (3, 7)
    values = [float(variable.numpy()) for variable in model.metrics_variables]
    assert values == [100.0 + i for i in range(len(values))]


def test_the_last_of_both_kinds_and_the_best_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, make_model(fill=0), keep=2)
    for epoch in range(6):
        for step in range(1, 5):
            checkpoints.save(Position(epoch, step), best=2)
        if epoch < 5:
            checkpoints.save(Position(epoch + 1), best=2)
    assert indices(tmp_path) == ["ckpt-2", "ckpt-4", "ckpt-5", "ckpt-5-3", "ckpt-5-4"]
    assert len(list(tmp_path.iterdir())) == 10


def test_what_a_killed_save_left_is_removed_by_the_next(saved):
    (saved / SCRATCH).mkdir()
    (saved / SCRATCH / "ckpt-4.data-00000-of-00001").write_bytes(b"half of it")
    (saved / "ckpt-3-5.data-00000-of-00001").write_bytes(b"without its index")
    checkpoints = Checkpoints(saved, make_model())
    assert checkpoints.restore() == Position(3)
    checkpoints.save(Position(4))
    assert indices(saved) == ["ckpt-2", "ckpt-3", "ckpt-4"]
    stems = {path.name.partition(".")[0] for path in saved.iterdir()}
    assert stems - {"checkpoint"} == {"ckpt-2", "ckpt-3", "ckpt-4"}


def test_checkpoints_beyond_the_saved_one_are_removed(saved):
    checkpoints = Checkpoints(saved, make_model(fill=1))
    checkpoints.save(Position(1, 5))
    assert indices(saved) == ["ckpt-1", "ckpt-1-5"]


def test_every_flipped_bit_is_found(saved):
    rng = np.random.default_rng(0)
    _, whole = read_newest(saved)
    found = 0
    for end in ("index", "data-00000-of-00001"):
        path = saved / f"ckpt-3.{end}"
        good = path.read_bytes()
        for place in rng.choice(len(good), 60, replace=False):
            flipped = bytearray(good)
            flipped[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(flipped)
            position, arrays = read_newest(saved)
            if position == Position(2):
                found += 1
            else:  # where nothing is read, such as padding
                assert position == Position(3)
                assert set(arrays) == set(whole)
                for name, array in arrays.items():
                    assert array.tobytes() == whole[name].tobytes()
        path.write_bytes(good)
    assert found > 90


@pytest.mark.parametrize("keep", [0, -1])
def test_nothing_kept_is_refused(keep, tmp_path):
    with pytest.raises(ValueError, match=f"Received: keep={keep}"):
        Checkpoints(tmp_path, make_model(), keep)


def test_no_steps_between_checkpoints_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Received: checkpoint_every=0"):
        SaveCheckpoints(Checkpoints(tmp_path, make_model()), every=0)
