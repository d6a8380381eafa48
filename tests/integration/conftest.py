"""The launch scripts, called in the process of the tests."""

import re
import runpy
import shlex
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


@pytest.fixture(scope="session")
def documented():
    """A function (page, word, changes) -> the arguments of each script, by name.

    The scripts are those of the shell block of a page in docs/ that has the word;
    ``changes`` are texts to replace.
    """

    def read(page, word, changes):
        blocks = re.findall(
            r"```sh\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S
        )
        (block,) = [block for block in blocks if word in block]
        for was, now in changes.items():
            block = block.replace(was, now)
        lines = [shlex.split(line) for line in block.replace("\\\n", " ").splitlines()]
        return {Path(line[1]).stem: line[2:] for line in lines}

    return read
