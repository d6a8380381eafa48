"""The launch scripts, called in the process of the tests."""

import runpy
import sys
from pathlib import Path

import pytest
from absl import flags

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch, capsys):
    """A function (name, arguments) -> (exit status, message), in this process."""
    before = set(flags.FLAGS)

    def call(name, *arguments):
        path = str(ROOT / "launch" / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [path, *map(str, arguments)])
        try:
            with pytest.raises(SystemExit) as end:
                runpy.run_path(path, run_name="__main__")
        finally:
            new = {n: flags.FLAGS[n] for n in flags.FLAGS if n not in before}
            flags.FLAGS.remove_flag_values(new)
        return end.value.code, capsys.readouterr().err

    return call
