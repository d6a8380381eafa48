import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_readmes_example_is_short():
    # test_docs.py runs it
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len([x for x in code.splitlines() if x and "import" not in x]) <= 10


def test_the_readme_is_short_and_begins_without_acronyms():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    first = text.split("\n\n")[1]
    assert not re.search(r"\b[A-Z]{2,}\b|[a-z][A-Z]{2}", first)
    titles = re.findall(r"^## (.*)$", text, re.M)
    assert titles == [
        "Install",
        "Ten lines of Python",
        "Two commands",
        "What is different",
        "Results",
        "Links",
    ]


def test_links_and_commands_exist():
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text()
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if not target.startswith("http"):
                assert (ROOT / target).exists(), target
    scripts = re.findall(r"(launch/\w+\.py)", (ROOT / "README.md").read_text())
    assert scripts
    for script in scripts:
        assert (ROOT / script).exists(), script
