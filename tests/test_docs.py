"""The pages of the documentation: their code runs, their links and the site hold."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tfcnf

ROOT = Path(__file__).parents[1]
PAGES = sorted(ROOT.glob("docs/*.md"))
SCRIPT = """\
import tensorflow as tf
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
"""


def code(page):
    return "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), re.S))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if code(page)], ids=lambda page: page.stem
)
def test_the_code_of_a_page_runs(page, tmp_path, data_dir):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + code(page)],
        cwd=tmp_path,
        env=os.environ | {"TFDS_DATA_DIR": data_dir},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_pages_name_scripts_and_files_that_exist():
    for page in [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        text = page.read_text()
        for name in re.findall(r"\b(?:launch|configs|tests|tfcnf)/[\w/]+\.py\b", text):
            assert (ROOT / name).exists() or "NAME" in name, f"{page.name}: {name}"


def test_the_reference_has_every_public_name():
    listed = re.findall(r"^::: tfcnf\.(\w+)$", (ROOT / "docs/api.md").read_text(), re.M)
    assert sorted(listed) == sorted(set(tfcnf.__all__) - {"__version__"})


@pytest.mark.skipif(
    importlib.util.find_spec("mkdocs") is None, reason="the extra docs is not installed"
)
def test_the_site_is_built_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-q", "-s", "-d", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    reference = (tmp_path / "api/index.html").read_text()
    assert 'id="tfcnf.InfoCNF.log_prob"' in reference
    assert "Raises" in reference
    assert (tmp_path / "results/index.html").exists()
    messages = (tmp_path / "bad_input/index.html").read_text()
    assert "Received: [" in messages
