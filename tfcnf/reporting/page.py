"""One page about a run: a single HTML file that needs no server and no network."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from PIL import Image

from tfcnf.diagnostics import Diagnostic
from tfcnf.files import replace_file
from tfcnf.records import blame, read_record
from tfcnf.reporting.read import (
    MODELS,
    read_classes,
    read_numbers,
    read_results,
    read_task,
)
from tfcnf.reporting.tables import results_rows
from tfcnf.run_state import read_state
from tfcnf.tasks.base import Measure, Section

STYLE = Path(__file__).with_name("page.css")
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
CONFIG = {  # what is told of a configuration
    "data": str,
    "model_name": str,
    "seed": int,
    "training.batch_size": int,
    "training.epochs": int,
}
WIDE = 900  # pixels from which on a picture is scrolled, not shrunk, on a phone
SHOWN = 100  # classes whose names are listed
CURVES = Section(
    "Learning curves",
    "Measures against the epoch, and of single steps.",
    ("curves", "steps"),
)


def write_page(run: Path, pictures: Path, out: Path) -> None:
    """Writes the page of a finished run.

    Args:
        run: its folder, with ``config.json``, ``eval.json`` and what else there is.
        pictures: folder of further pictures, as `tfcnf.reporting.runs.report` draws.
        out: the HTML file.
    """
    config = read_record(run / "config.json", CONFIG)
    results = read_results(run, "tolerance")
    root = Element("html", lang="en")
    name = config["model_name"]
    title = f"{MODELS.get(name, name)} on {config['data']}"
    _head(root, title)
    body = SubElement(root, "body")
    _text(body, "h1", title)
    _text(body, "p", _about(config, results, run))
    for line in _classes(*read_classes(run)):
        _text(body, "p", line)
    task, folders = read_task(run), (pictures, run)
    _tiles(body, results, task.measures)
    for part in task.sections:
        _section(body, part, folders)
    for key, d in Diagnostic.known.items():
        part = Section(d.title or key, d.caption, d.files or (key,))
        numbers = read_numbers(run / f"{key}.json")
        told = d.verdict(numbers)
        _section(body, part, folders, _pivot(numbers, d.columns), told)
    _section(body, CURVES, folders)
    section = SubElement(body, "section")
    _text(section, "h2", "Results")
    _table(section, results_rows(results["evaluations"], task.measures))
    for name in ("config", "data", "metadata"):
        if not (run / f"{name}.json").is_file():
            continue
        details = SubElement(body, "details")
        _text(details, "summary", f"{name}.json")
        _text(details, "pre", json.dumps(_read(run / f"{name}.json"), indent=2))
    html = tostring(root, encoding="unicode", method="html")
    with replace_file(out) as temporary:
        temporary.write_text(f"<!DOCTYPE html>\n{html}\n")


def _read(path: Path) -> dict[str, Any]:
    return read_record(path) if path.is_file() else {}


def _head(root: Element, title: str) -> None:
    head = SubElement(root, "head")
    SubElement(head, "meta", charset="utf-8")
    SubElement(
        head, "meta", name="viewport", content="width=device-width, initial-scale=1"
    )
    SubElement(
        head, "meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}
    )
    SubElement(head, "meta", name="color-scheme", content="light dark")
    _text(head, "title", title)
    _text(head, "style", STYLE.read_text())


def _about(config: Mapping[str, Any], results: Mapping[str, Any], run: Path) -> str:
    training, metadata = config["training"], _read(run / "metadata.json")
    parts = [
        f"Run {run.resolve().name}",
        f"seed {config['seed']}",
        f"{training['epochs']} epochs of batches of {training['batch_size']}",
        f"evaluated at tolerance {results['tolerance']:.0e}",
    ]
    if results.get("chosen_by") == "validation":
        parts.append(f"weights of epoch {results['epoch']}, chosen by validation")
    if not read_state(run).is_finished:
        parts.append("not trained to its end")
    if training.get("labels"):
        parts.append(f"{training['labels']} labels a class")
    if "date" in metadata:
        parts.append(f"begun {str(metadata['date'])[:10]}")
    return ", ".join(parts) + "."


def _classes(
    factors: Sequence[Sequence[str]], exchanged: Sequence[str]
) -> Iterator[str]:
    """The names of the classes of each label factor, of a run that has a record."""
    for names in filter(None, factors):
        more = ", ..." if len(names) > SHOWN else ""
        yield f"{len(names)} classes: {', '.join(names[:SHOWN])}{more}."
    if exchanged:
        yield f"The data were exchanged: {'; '.join(exchanged)}."


def _tiles(
    body: Element, results: Mapping[str, Any], measures: Mapping[str, Measure]
) -> None:
    tiles = SubElement(body, "div", {"class": "tiles"})
    for name, measure in measures.items():
        if measure.tile and name in results:
            title, unit = measure.title, measure.unit
            tile = SubElement(tiles, "div", {"class": "tile"})
            _text(tile, "strong", format(results[name], measure.format))
            _text(tile, "span", f"{title} ({unit})" if unit else title)


def _section(
    body: Element,
    part: Section,
    folders: Sequence[Path],
    rows: Sequence[Sequence[str]] = (),
    told: Sequence[str] = (),
) -> None:
    """Text, pictures of the first folder that has them, and a table if it has rows.

    A section without pictures is left out.
    """
    names = [f"{name}.{end}" for name in part.files for end in ("png", "gif")]
    paths = [[f / name for f in folders if (f / name).is_file()] for name in names]
    pictures = [found[0] for found in paths if found]
    if not pictures:
        return
    section = SubElement(body, "section", id=part.title.lower().replace(" ", "-"))
    _text(section, "h2", part.title)
    for line in (part.caption, *told):
        _text(section, "p", line)
    kind = "pair" if len(pictures) > 1 else "single"
    place = SubElement(section, "div", {"class": kind})
    for path in pictures:
        _picture(place, path, part.title)
    if rows:
        _table(section, rows)


def _picture(place: Element, path: Path, section: str) -> None:
    data = path.read_bytes()
    with blame(path), Image.open(path) as image:
        (width, height), kind = image.size, str(image.format).lower()
    figure = SubElement(place, "figure")
    label = f"{section}: {path.stem.replace('_', ' ')}"
    scroll = {"class": "scroll wide" if width >= WIDE else "scroll"}
    box = SubElement(
        figure, "div", _focusable(scroll, label) if width >= WIDE else scroll
    )
    SubElement(
        box,
        "img",
        src=f"data:image/{kind};base64,{base64.b64encode(data).decode()}",
        alt=label,
        width=str(width),
        height=str(height),
    )


def _table(place: Element, rows: Sequence[Sequence[str]]) -> None:
    box = SubElement(place, "div", _focusable({"class": "scroll"}, "table"))
    table = SubElement(box, "table")
    head = SubElement(SubElement(table, "thead"), "tr")
    for cell in rows[0]:
        _text(head, "th", cell)
    body = SubElement(table, "tbody")
    for row in rows[1:]:
        line = SubElement(body, "tr")
        for cell in row:
            _text(line, "td", cell)


def _pivot(measures: Mapping[str, Any], titles: Mapping[str, str]) -> list[list[str]]:
    """``{"a/error": 1.0}`` as rows: head, then one for each name before the slash."""
    pairs = {tuple(key.rsplit("/", 1)): v for key, v in measures.items() if "/" in key}
    titles = titles or {key[1]: key[1].replace("_", " ") for key in pairs}
    columns = [name for name in titles if any(key[1] == name for key in pairs)]
    rows = [["", *(titles[name] for name in columns)]] if columns else []
    for row in dict.fromkeys(key[0] for key in pairs):
        values = [pairs.get((row, name)) for name in columns]
        cells = ["" if value is None else f"{value:.3g}" for value in values]
        rows.append([row.replace("_", " "), *cells])
    return rows


def _focusable(attributes: dict[str, str], label: str) -> dict[str, str]:
    """Attributes that let a box that scrolls be reached with the keyboard."""
    return attributes | {"tabindex": "0", "role": "region", "aria-label": label}


def _text(place: Element, tag: str, text: str) -> None:
    SubElement(place, tag).text = text
