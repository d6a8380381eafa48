"""The page of a run, as text and in a real browser."""

import base64
import re
import shutil
from html.parser import HTMLParser

import pytest

from tfcnf.reporting.runs import report

PICTURES = 9  # one of them an animation
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def page(used_run, tmp_path_factory):
    """The file of the page."""
    return report([str(used_run)], str(tmp_path_factory.mktemp("page")))[-1]


class Reader(HTMLParser):
    """Elements with their attributes, and all text outside the style."""

    def __init__(self, text):
        super().__init__()
        self.found, self.words, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def test_the_page_holds_pictures_tables_and_settings(page):
    text = page.read_text()
    reader = Reader(text)
    words = " ".join(reader.words)
    assert text.startswith("<!DOCTYPE html>")
    for expected in (
        *("InfoCNF on digits", "1.14", "38,234", "conditional (bits/dim)"),
        *("10 labels a class", "AUROC, typicality", "87.5", "2026-11-22", '"<&>"'),
        "every number is within 0.001, as at all tighter ones, is 1e-05.",
        "Warning: the model was trained at tolerance 0.01, which is too loose",
        r"10 classes: airplane, a$b$c, $\frac, d<e>, 4, 5, 6, 7, 8, 9.",
    ):
        assert expected in words
    sources = [image["src"] for image in reader.all("img")]
    assert len(sources) == PICTURES
    kinds = {"data:image/png;base64": b"\x89PNG", "data:image/gif;base64": b"GIF89a"}
    assert {source.split(",", 1)[0] for source in sources} == {*kinds}
    for source, alt in zip(sources, reader.all("img"), strict=True):
        kind, data = source.split(",", 1)
        assert base64.b64decode(data).startswith(kinds[kind])
        assert alt["alt"]


def test_the_page_asks_nobody_for_anything(page):
    text = re.sub(r"data:image/(png|gif);base64,[\w+/=]+", "", page.read_text())
    assert "://" not in text
    assert not re.findall(r"<(script|link|iframe|form)\b", text)
    policies = [m for m in Reader(text).all("meta") if "http-equiv" in m]
    assert policies[0]["content"].startswith("default-src 'none'")


@pytest.fixture(scope="module")
def browser():
    """A real browser without a window."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed"
    )
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"none of these browsers is installed: {', '.join(BROWSERS)}")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(360, 740), (1280, 900)])
def test_the_page_reads_well_on_a_phone_and_a_desk(
    width, height, scheme, page, browser
):
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        is_mobile=width < 500,
        offline=True,
    )
    tab, complaints, requests = context.new_page(), [], []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(page.as_uri())
    assert complaints == []
    assert all(url == page.as_uri() or url.startswith("data:") for url in requests)
    # nothing sticks out to the side, and no picture is broken
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    images = tab.evaluate(
        "[...document.images].map(i => [i.complete, i.naturalWidth, i.clientWidth])"
    )
    assert len(images) == PICTURES
    for complete, natural, shown in images:
        assert complete
        assert natural > 150
        assert 100 < shown <= width * 2
    # text is large enough and stands out from its ground (WCAG AA: 4.5)
    sizes = tab.evaluate(
        "[...document.querySelectorAll('p, td, th, figcaption, .tile')]"
        ".map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 13
    colours = tab.evaluate(
        "['body', 'p', 'td', '.tile', 'summary'].map(s => {"
        " const e = document.querySelector(s); let g = e;"
        " while (getComputedStyle(g).backgroundColor === 'rgba(0, 0, 0, 0)')"
        "   g = g.parentElement;"
        " return [getComputedStyle(e).color, getComputedStyle(g).backgroundColor];})"
    )
    for text, ground in colours:
        assert contrast(text, ground) >= 4.5
        assert (luminance(ground) < 0.2) == (scheme == "dark")
    columns = tab.evaluate(
        "getComputedStyle(document.querySelector('.pair')).gridTemplateColumns"
    )
    assert len(columns.split()) == (2 if width > 960 else 1)
    context.close()


def luminance(colour):
    """Relative luminance of ``rgb(r, g, b)`` (WCAG 2)."""
    parts = [int(n) / 255 for n in re.findall(r"\d+", colour)[:3]]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts
    ]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first, second):
    """Contrast ratio of two colours (WCAG 2)."""
    low, high = sorted([luminance(first), luminance(second)])
    return (high + 0.05) / (low + 0.05)
