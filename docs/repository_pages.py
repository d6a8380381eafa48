"""Hooks of mkdocs: pages that stand at the top of the repository, and their links."""

import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
PAGES = {
    "RESULTS.md": "results.md",
    "BUILD_NOTES.md": "build_notes.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}


def on_files(files, config):
    """Adds the files of `PAGES`."""
    for name, page in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown, page, **_):
    """Makes links of the repository links of the site; of source files, plain names."""
    if page.file.src_uri == "bad_input.md":
        return "\n".join(map(_escaped, markdown.split("\n")))
    for name, target in PAGES.items():
        markdown = re.sub(rf"\]\((\.\./)?{name}", f"]({target}", markdown)
    markdown = re.sub(r"\[([^\]]+)\]\(tests/[^)]*\)", r"`\1`", markdown)
    return markdown.replace("](docs/", "](")


def _escaped(line):
    """A row of the table whose message is text, not Markdown."""
    cells = re.split(r"(?<!\\)\|", line)
    if len(cells) == 5:
        cells[3] = re.sub(r"([\[\]<>*_])", r"\\\1", cells[3])
    return "|".join(cells)
