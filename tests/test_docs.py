"""The pages of the documentation: their code runs, their links and the site hold."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tfcnf

ROOT = Path(__file__).parents[1]
PAGES = sorted(ROOT.glob("docs/*.md"))
# what the README's example leaves; it comes first, before others write such files
README = """
from pathlib import Path
assert (points.shape, posterior.shape, log_p.shape) == ((8, 2), (4000, 5), (4000,))
assert Path("pinwheel.keras").exists()
"""
SCRIPT = """\
import json, random, sys, traceback
import tensorflow as tf
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
failures = {}
for name, code in json.load(sys.stdin).items():
    random.seed(0)  # of weights that a page makes without a seed
    try:
        exec(compile(code, name, "exec"), {"__name__": "__main__"})
    except BaseException:
        failures[name] = traceback.format_exc()
print(json.dumps(failures))
"""


def code(page):
    made = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), re.S))
    return made + README if page.stem == "README" else made


WITH_CODE = [ROOT / "README.md", *(page for page in PAGES if code(page))]


@pytest.fixture(scope="module")
def failures(once, data_dir):
    """Tracebacks of the pages whose code fails: a process runs all, each by itself."""

    def fill(folder):
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            input=json.dumps({page.stem: code(page) for page in WITH_CODE}),
            cwd=folder,
            env=os.environ | {"TFDS_DATA_DIR": data_dir},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        (folder / "failures.json").write_text(done.stdout.splitlines()[-1])

    return json.loads((once("pages", fill) / "failures.json").read_text())


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page, failures):
    assert page.stem not in failures, failures[page.stem]


def test_pages_name_scripts_and_files_that_exist():
    for page in [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        text = page.read_text()
        for name in re.findall(r"\b(?:launch|configs|tests|tfcnf)/[\w/]+\.py\b", text):
            assert (ROOT / name).exists() or "NAME" in name, f"{page.name}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_of_a_page_hold_in_the_repository_too(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not target.startswith("http") and page.stem != "bad_input":
            assert (page.parent / target).exists(), target


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
