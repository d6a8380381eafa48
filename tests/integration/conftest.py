"""The launch scripts, called in the process of the tests."""

import runpy
import sys
from pathlib import Path

import pytest
from absl import flags

ROOT = Path(__file__).parents[2]


def launch(name, *arguments):
    """Calls a script; gives its exit status."""
    before = set(flags.FLAGS)
    path = str(ROOT / "launch" / f"{name}.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [path, *map(str, arguments)])
        try:
            with pytest.raises(SystemExit) as end:
                runpy.run_path(path, run_name="__main__")
        finally:
            new = {n: flags.FLAGS[n] for n in flags.FLAGS if n not in before}
            flags.FLAGS.remove_flag_values(new)
    return end.value.code


@pytest.fixture(scope="session")
def launched():
    """A function (name, arguments) -> exit status, in this process."""
    return launch


@pytest.fixture
def script(capsys):
    """A function (name, arguments) -> (exit status, message), in this process."""
    return lambda *called: (launch(*called), capsys.readouterr().err)
