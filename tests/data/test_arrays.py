"""Arrays of foreign .npz files: an answer or one line, and no allocation."""

import io
import tracemalloc
import zipfile

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from tfcnf.data.arrays import ArrayFile, as_labels, as_levels


def npz(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def npy(shape, dtype="|u1", data=b""):
    """Bytes of an array whose header says what it likes."""
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(file, header)
    return file.getvalue() + data


@given(
    hnp.arrays(
        st.sampled_from(["u1", ">i4", "f8", "?", "<U3"]), hnp.array_shapes(max_dims=4)
    ),
    st.sampled_from("CF"),
    st.integers(1, 5),
)
@settings(max_examples=40, deadline=None)
def test_any_array_is_read_whole_and_in_batches(tmp_path_factory, array, order, size):
    path = tmp_path_factory.mktemp("arrays") / "a.npz"
    np.savez_compressed(path, x=np.asarray(array, order=order), other=np.zeros(3))
    file = ArrayFile(path)
    assert file.names == ["x", "other"]
    np.testing.assert_array_equal(file.read("x"), array)
    assert file.read("x").dtype == array.dtype
    batches = list(file.batches("x", size))
    assert {len(batch) for batch in batches[:-1]} <= {size}
    np.testing.assert_array_equal(np.concatenate(batches), array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy((10**13, 8, 8)), "needs 640000000000000 bytes, and there are 0"),
        (npy((-2, -8), data=bytes(16)), r"shape \[-2, -8\]"),
        (npy((2, 8), data=bytes(15)), "needs 16 bytes, and there are 15"),
        (npy((2, 8), data=bytes(17)), "needs 16 bytes, and there are 17"),
        (npy((2,), "|O", bytes(16)), "neither numbers nor text"),
        (npy((2,), "|V8", bytes(16)), "neither numbers nor text"),
        (b"\x93NUMPY\x07\x00", "version"),
        (b"", "magic"),
    ],
)
def test_an_array_that_is_not_what_it_says_is_refused(content, message, tmp_path):
    path = npz(tmp_path / "bad.npz", {"x": content})
    for ask in (ArrayFile.header, ArrayFile.read, lambda f, x: next(f.batches(x, 1))):
        with pytest.raises(ValueError, match=message) as failure:
            ask(ArrayFile(path), "x")
        text = str(failure.value)
        assert text.endswith(f"Received: {str(path)!r} with array x")
        assert text.startswith("the .npz file cannot be read (")


def patched(path, old, new):
    """The file with a field of its member's two zip headers changed."""
    content = path.read_bytes()
    assert content.count(old) == 2
    path.write_bytes(content.replace(old, new))


def test_a_member_cannot_promise_what_the_file_has_no_place_for(tmp_path):
    size = 2**31 - 128  # of 200 bytes in the file
    header = npy((size,))
    path = npz(tmp_path / "bad.npz", {"x": header + bytes(7)})
    old, new = (n.to_bytes(4, "little") for n in (len(header) + 7, len(header) + size))
    patched(path, old, new)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"no place for the 21474\d+ bytes"):
        ArrayFile(path).read("x")
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_compressions_are_refused(method, tmp_path):
    path = npz(tmp_path / "x.npz", {"x": npy((8,), data=bytes(8))}, method)
    with pytest.raises(ValueError, match="compression method"):
        ArrayFile(path).read("x")


@pytest.mark.parametrize("content", [None, b"", b"PK", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_npz(content, tmp_path):
    path = tmp_path / "x.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"cannot be read \(.+\). Received: "
    ) as failure:
        ArrayFile(path).read("x")
    assert "\n" not in str(failure.value)


@pytest.fixture(scope="module", params=["stored", "deflated"])
def whole(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "x.npz"
    save = np.savez if request.param == "stored" else np.savez_compressed
    save(path, x=np.arange(60).reshape(3, 20))
    return path


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_files_are_refused_in_one_line(whole, data):
    """Some bytes of the file are others, or its end is missing."""
    content = bytearray(whole.read_bytes())
    places = st.integers(0, len(content) - 1)
    changes = st.dictionaries(places, st.integers(0, 255), max_size=4)
    for place, value in data.draw(changes).items():
        content[place] = value
    path = whole.with_name("damaged.npz")
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        file = ArrayFile(path)
        found, refused = [file.read(name) for name in file.names], ""
    except ValueError as failure:
        found, refused = [], str(failure)
    assert "\n" not in refused
    assert not refused or "Received: " in refused
    for array in found:  # the check sum holds: only names may have changed
        np.testing.assert_array_equal(array.ravel(), np.arange(60))


def test_levels_are_looked_at_in_their_own_type():
    np.testing.assert_array_equal(as_levels("x", np.array([0, 255])), [0, 255])
    for bad in ([256], [-1], [2**32 + 3]):
        with pytest.raises(
            ValueError, match=r"0\.\.255; .*value \* 255 // 4095.*Received: x"
        ):
            as_levels("x", np.array(bad))
    with pytest.raises(ValueError, match="Received: x of float64"):
        as_levels("x", np.array([3.0]))


def test_labels_are_looked_at_in_their_own_type():
    labels = as_labels("y", np.array([0, 2**31 - 1], np.uint64))
    assert (labels.dtype, labels.tolist()) == (np.int32, [0, 2**31 - 1])
    for bad in ([2**32 + 3], [2**40], [-1]):
        with pytest.raises(ValueError, match="Received: y with labels from"):
            as_labels("y", np.array(bad))
    with pytest.raises(ValueError, match=r"y.astype\(int\).* Received: y of float64"):
        as_labels("y", np.array([2.5]))
