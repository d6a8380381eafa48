import os
import signal
import threading

import keras
import pytest

from tfcnf.training.checkpoints import Checkpoints, SaveCheckpoints, read_newest
from tfcnf.training.loop import run_epochs
from tfcnf.training.preemption import PREEMPTED, Preempted, Preemption
from tfcnf.training.strategy import get_strategy


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def test_the_signal_ends_at_once_where_nothing_is_unsaved():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Preempted) as stopped, Preemption().watch():
        terminate()
    assert stopped.value.code == PREEMPTED == 143
    assert "the same command goes on" in str(stopped.value)
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_signal_waits_where_something_is_to_be_saved():
    preemption, reached = Preemption(), []

    def save():
        with preemption.watch(), preemption.deferred():
            terminate()
            reached.append(preemption.received)

    with pytest.raises(Preempted):
        save()
    assert reached == [True]


@pytest.fixture
def interruptible():
    """Ctrl-C as in the foreground; tests may run where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_waits_for_what_is_to_be_saved_but_not_the_second_time(capsys):
    preemption, reached = Preemption(), []

    def save(times):
        with preemption.watch(), preemption.deferred():
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
                reached.append(preemption.received)

    with pytest.raises(Preempted, match="stopped by SIGINT; the same") as stopped:
        save(1)
    assert stopped.value.code == 130
    assert reached == [True]
    assert "Ctrl-C again ends at once" in capsys.readouterr().err
    preemption.received = False
    with pytest.raises(KeyboardInterrupt):
        save(2)
    assert reached == [True] * 2


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_is_an_interrupt_where_nothing_is_unsaved():
    with pytest.raises(KeyboardInterrupt), Preemption().watch():
        signal.raise_signal(signal.SIGINT)


def test_a_ctrl_c_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Preemption().watch():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_leaves_the_signal_alone():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def watch():
        with Preemption().watch():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()
    assert seen == [before]


def fit(folder, model, points, *callbacks, preemption=None):
    checkpoints = Checkpoints(folder, model)
    start = checkpoints.restore()
    calls = [*callbacks, SaveCheckpoints(checkpoints)]
    with (preemption or Preemption()).watch():
        run_epochs(
            *(model, points, get_strategy(), 2, 3),
            start=start,
            callbacks=calls,
            preemption=preemption,
        )
    return start


def test_a_training_that_was_told_to_stop_has_saved_and_goes_on(
    make_line, points, tmp_path
):
    class Terminate(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_begin(self, batch, logs=None):
            if (self.epoch, batch) == (1, 2):
                terminate()

    straight = make_line()
    fit(tmp_path / "straight", straight, points)
    preemption = Preemption()
    with pytest.raises(Preempted):
        fit(tmp_path / "run", make_line(), points, Terminate(), preemption=preemption)
    assert read_newest(tmp_path / "run")[0] == (1, 3)
    resumed = make_line()
    assert fit(tmp_path / "run", resumed, points) == (1, 3)
    assert resumed.w.numpy() == straight.w.numpy()
    assert float(resumed.metrics[0].result()) == float(straight.metrics[0].result())
