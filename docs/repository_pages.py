"""Pages of the site that stand at the top of the repository, for mkdocs."""

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
        if (ROOT / name).exists():
            text = (ROOT / name).read_text(encoding="utf-8")
            files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown, page, **_):
    """Makes the links of the repository links of the site."""
    for name, target in PAGES.items():
        markdown = markdown.replace(f"](../{name}", f"]({target}")
        markdown = markdown.replace(f"]({name}", f"]({target}")
    return markdown.replace("](docs/", "](")
