"""One reader of image files for training and for asking."""

import io
import warnings

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image

from tfcnf.data.image_files import list_images, natural_order, read_image

GREY = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
ORIENTATION = 0x0112


def save(path, pixels, mode=None, **options):
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "mode", "channels"),
    [
        *[("a.png", "L", 1), ("a.gif", "L", 1), ("a.bmp", "L", 1), ("a.png", "P", 1)],
        *[("a.bmp", "RGB", 3), ("a.png", "RGB", 3), ("a.GIF", "RGB", 1)],
        *[("a.png", "RGBA", 3), ("a.png", "LA", 1)],  # nothing is transparent
    ],
)
def test_the_same_grey_picture_in_any_file(name, mode, channels, tmp_path):
    path = save(tmp_path / name, GREY, mode)
    image = read_image(path)
    assert (image.dtype, image.shape) == (np.uint8, (4, 6, channels))
    for read in (image, read_image(path, 1), read_image(path, 3)):
        np.testing.assert_array_equal(
            read, np.broadcast_to(GREY[..., None], read.shape)
        )
    assert read_image(path, 3).shape == (4, 6, 3)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_picture_that_is_to_be_turned_is_turned(name, tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # its right side is up
    path = save(tmp_path / name, GREY, exif=exif)
    expected = np.rot90(GREY, -1)[..., None]
    np.testing.assert_allclose(read_image(path).astype(int), expected, atol=12)


def test_colours_for_a_grey_model_become_their_luminance(tmp_path):
    path = save(tmp_path / "a.png", np.full([2, 2, 3], [255, 0, 0], np.uint8))
    np.testing.assert_array_equal(read_image(path, 1), np.full([2, 2, 1], 76))


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 3)])
def test_more_than_eight_bits_are_refused(shape, tmp_path):
    if len(shape) == 2:
        path = save(tmp_path / "a.png", np.full(shape, 4095, np.uint16))
    else:  # Pillow writes no such file
        import tensorflow as tf

        path = tmp_path / "a.png"
        deep = tf.io.encode_png(np.full(shape, 4095, np.uint16))
        path.write_bytes(deep.numpy())
    with pytest.raises(ValueError, match=r"value \* 255 // 4095.*a.png' with 16"):
        read_image(path)


def test_transparency_is_kept_or_refused(tmp_path):
    pixels = np.full([2, 2, 4], 7, np.uint8)
    path = save(tmp_path / "a.png", pixels)
    np.testing.assert_array_equal(read_image(path), pixels)
    with pytest.raises(ValueError, match=r"takes 3 channels; paint it .*a.png'"):
        read_image(path, 3)


def test_hidden_files_are_not_seen_and_others_are_named(tmp_path, caplog):
    for name in ("10.png", "2.JPG"):
        save(tmp_path / name, GREY)
    for name in ("._2.png", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_text("")
    assert [path.name for path in list_images(tmp_path)] == ["10.png", "2.JPG"]
    assert not caplog.text
    (tmp_path / "notes.txt").write_text("")
    assert len(list_images(tmp_path)) == 2
    assert f"left out 1 that are no images: {tmp_path}/notes.txt" in caplog.text
    (tmp_path / "a.tiff").write_text("")
    with pytest.raises(ValueError, match=r"\.bmp, .*a.tiff'"):
        list_images(tmp_path)


def test_numbers_in_names_are_sorted_by_value():
    names = ["10", "2", "a10", "a9", "1", "b", "02"]
    expected = ["1", "02", "2", "10", "a9", "a10", "b"]
    assert sorted(names, key=natural_order) == expected


@given(st.lists(st.text("012ab٣²é", max_size=5), max_size=6))
@settings(max_examples=50, deadline=None)
def test_any_names_have_one_order(names):
    ordered = sorted(names, key=natural_order)
    assert ordered == sorted(reversed(names), key=natural_order)


def test_a_header_that_promises_a_huge_image_is_refused(tmp_path):
    path = save(tmp_path / "a.bmp", GREY)
    content = bytearray(path.read_bytes())
    content[18:26] = b"\x00\x20\x00\x00" * 2  # width and height 8192
    path.write_bytes(content)
    with pytest.raises(ValueError, match="8192 x 8192 pixels are too many"):
        read_image(path)


@pytest.fixture(scope="module")
def files():
    contents = []
    for kind in ("PNG", "GIF", "JPEG", "BMP"):
        stream = io.BytesIO()
        Image.fromarray(GREY).save(stream, kind)
        contents.append(stream.getvalue())
    return contents


def tried(read):
    """What is read, and what a refusal says."""
    try:
        return read(), ""
    except ValueError as failure:
        return None, str(failure)


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_images_are_read_or_refused_in_one_line(tmp_path_factory, files, data):
    content = bytearray(data.draw(st.sampled_from(files)))
    places = st.integers(0, len(content) - 1)
    changes = st.dictionaries(places, st.integers(0, 255), max_size=4)
    for place, value in data.draw(changes).items():
        content[place] = value
    path = tmp_path_factory.getbasetemp() / "damaged.png"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, about what it repairs
        image, refused = tried(lambda: read_image(path))
    assert "\n" not in refused
    assert (str(path) in refused) or (image.dtype, image.ndim) == (np.uint8, 3)
