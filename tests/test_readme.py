import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_readmes_examples_run(tmp_path):
    parts = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(parts) == 2
    for part in parts:
        assert len([line for line in part.splitlines() if line]) <= 16
    # the second goes on where the first ends
    code = "\n".join([*parts, "print(images.shape, codes.shape, log_p.shape)"])
    environment = os.environ | {"TFDS_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "digits.keras").exists()
    assert "test error" in done.stdout
    assert "(8, 8, 8, 1) (4, 64) (4,)" in done.stdout


def test_links_and_commands_of_the_readme_exist():
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
    scripts = re.findall(r"(launch/\w+\.py|configs/\w+\.py)", text)
    assert scripts
    for script in scripts:
        assert (ROOT / script).exists(), script
