"""Image files: which there are in a folder, and what is in them."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import numpy as np
from absl import logging
from PIL import Image, ImageOps

FORMATS = ("BMP", "GIF", "JPEG", "PNG")
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by channels
MOST = 2**25  # pixels; a header may promise what would fill the memory
DEEP = ("I", "F")  # how the modes of more than 8 bits a channel begin
PNG_DEPTH = 24  # the byte of a PNG that says how many bits a channel has


def natural_order(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """A key that sorts numbers in names by their value: 2 before 10."""
    parts = re.split(r"([0-9]+)", name)
    key = [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p]
    return key, name


def shown(folder: Path) -> list[Path]:
    """Contents of a folder by name, without hidden files and those of file managers."""
    unseen = ("Thumbs.db", "desktop.ini", "__MACOSX")
    found = (p for p in folder.iterdir() if not p.name.startswith("."))
    return sorted(p for p in found if p.name not in unseen)


def list_images(folder: Path) -> list[Path]:
    """The image files of a folder, by name; a warning tells which others there are.

    Raises:
        ValueError: for an image of a kind that is not read.
    """
    files = [path for path in shown(folder) if path.is_file()]
    others = [path for path in files if path.suffix.lower() not in SUFFIXES]
    known = Image.registered_extensions()
    for path in others:
        if path.suffix.lower() in known:
            raise ValueError(
                f"images must be {', '.join(SUFFIXES)}. Received: {str(path)!r}"
            )
    if others:
        logging.warning("left out %d that are no images: %s", len(others), others[0])
    return [path for path in files if path not in others]


def list_all_images(folder: Path) -> list[Path]:
    """The image files of a folder, then those of the folders in it, and so on.

    Raises:
        ValueError: as `list_images`.
    """
    inner = sorted((p.name for p in shown(folder) if p.is_dir()), key=natural_order)
    below = [path for name in inner for path in list_all_images(folder / name)]
    return list_images(folder) + below


def read_image(path: Path, channels: int | None = None) -> np.ndarray:
    """The first picture of a file, upright, ``[H, W, C]`` uint8.

    The EXIF orientation is applied. C is 1 for grey files, else 3, and one more where
    something is transparent.

    Args:
        path: the file.
        channels: C to convert to, 1 to 4: grey becomes three equal channels, colours
            become luminance (ITU-R 601), which leaves equal channels as they are.

    Raises:
        ValueError: for a file that is no image, that has more than 8 bits a channel,
            or that has transparent parts where C has no place for them.
    """
    try:
        content = path.read_bytes()
        with Image.open(BytesIO(content), formats=FORMATS) as file:
            if file.width * file.height > MOST:
                raise ValueError(f"{file.width} x {file.height} pixels are too many")
            deep = file.mode.startswith(DEEP)
            deep |= file.format == "PNG" and content[PNG_DEPTH] == 16
            image = file if deep else ImageOps.exif_transpose(_plain(file))
    except Exception as failure:  # a damaged file may fail anywhere in the decoder
        reason = str(failure).partition("\n")[0].partition(" <")[0]
        reason = reason or type(failure).__name__
        raise ValueError(
            f"the file cannot be read as an image ({reason}). Received: {str(path)!r}"
        ) from failure
    if deep:
        raise ValueError(
            "images must have 8 bits a channel; scale them yourself, 12 bits for "
            f"instance by value * 255 // 4095. Received: {str(path)!r} with 16 or more"
        )
    mode = MODES.get(channels or 0, image.mode)
    if "A" in image.mode and "A" not in mode:
        raise ValueError(
            f"the image has transparent parts, and the model takes {channels} "
            f"channels; paint it on a background first. Received: {str(path)!r}"
        )
    pixels = np.asarray(image.convert(mode))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _plain(file: Image.Image) -> Image.Image:
    """The picture as L, LA, RGB or RGBA, with alpha only where it says something."""
    picture = file.convert("RGBA")
    grey = file.mode in ("1", "L", "LA")
    if file.mode == "P":
        red, green, blue, _ = np.moveaxis(np.asarray(picture), -1, 0)
        grey = bool(((red == green) & (green == blue)).all())
    clear = np.asarray(picture)[..., 3].min() < 255
    return picture.convert(MODES[(1 if grey else 3) + clear])
