import pytest

from tfcnf.training.loop import run_epochs
from tfcnf.training.strategy import get_strategy
from tfcnf.training.tracing import Profile, parse_steps


def test_steps_are_read_from_text():
    assert parse_steps("3:5") == (3, 5)
    assert parse_steps("2:2") == (2, 2)


@pytest.mark.parametrize(
    "text", ["", "3", "0:2", "5:2", "-1:2", "1:2:3", "a:b", "1.5:2"]
)
def test_text_that_names_no_steps_is_refused(text):
    with pytest.raises(ValueError, match="START:STOP") as failure:
        parse_steps(text)
    assert str(failure.value).endswith(f"Received: profile={text!r}")


@pytest.mark.parametrize("steps", [(2, 3), (4, 9)])
def test_a_training_leaves_a_trace(steps, make_line, points, tmp_path):
    profile = Profile(tmp_path, steps)
    run_epochs(make_line(), points, get_strategy(), 5, 2, callbacks=[profile])
    assert not profile.is_tracing
    (trace,) = tmp_path.glob("plugins/profile/*/*.xplane.pb")
    assert trace.stat().st_size > 100
