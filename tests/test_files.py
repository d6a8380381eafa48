"""Files that are whole or not there, however many write them."""

import os
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tfcnf import files
from tfcnf.files import file_name, hold, replace_file, temporary_folder, write_json
from tfcnf.serving.answer_files import open_table


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a.json"
    with replace_file(path) as first, replace_file(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # whose block ended last
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("before")

    def fail():
        with replace_file(path) as temporary:
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_removed_after_a_day(tmp_path):
    path = tmp_path / "a[1].json"
    names = [f".{path.name}.{digits}.tmp" for digits in ("0123abcd", "4567cdef")]
    old, young = (tmp_path / name for name in names)
    for leftover in (old, young):
        leftover.write_text("half")
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    write_json(path, 1)
    assert set(tmp_path.iterdir()) == {path, young}


def test_many_threads_leave_one_whole_file(tmp_path):
    path, text = tmp_path / "a.json", "x" * 10000

    def write(i):
        for _ in range(20):
            write_json(path, [i, text])

    threads = [threading.Thread(target=write, args=[i]) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert re.fullmatch(r'\[\n  [0-3],\n  "x{10000}"\n\]\n', path.read_text())
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import runpy, sys, time
from pathlib import Path
files = runpy.run_path(sys.argv[1])  # alone: the package imports TensorFlow
with files["temporary_folder"](Path(sys.argv[2]), ".export-") as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


def test_the_folder_of_a_killed_process_is_removed_by_the_next(tmp_path):
    command = [sys.executable, "-c", KILLED, files.__file__, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        left = tmp_path / process.stdout.readline().strip()
        with temporary_folder(tmp_path, ".export-"):
            assert left.is_dir()  # it is in use
        process.kill()
    assert left.is_dir()
    with temporary_folder(tmp_path, ".export-") as folder:
        assert not left.exists()
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_held_by_one(tmp_path):
    path = tmp_path / "lock"
    for _ in range(2):
        with hold(path):
            with pytest.raises(BlockingIOError), hold(path):
                pass
            assert path.exists()
        assert not path.exists()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("digits, batch 128", "digits_batch_128"),
        ("infocnf_learned_1e-05", "infocnf_learned_1e-05"),
        ("mnist:3.0.1", None),
        ("../../etc/passwd", None),
        ("/tmp/data.npz", None),
        ("a\\b", None),
        ("a\nb", None),
        ("..", None),
        ("", None),
        ("a" * 500, None),
        ("ä" * 120, None),
        ("\ud800", None),
        (".hidden", None),
    ],
)
def test_a_text_becomes_one_file_name(text, name, tmp_path):
    made = file_name(text)
    assert made == (name or made)
    assert re.fullmatch(r"[\w+=-][\w.+=-]*", made)
    path = tmp_path / f"curves_{made}.png"
    write_json(path, 1)
    assert list(tmp_path.iterdir()) == [path]


def test_texts_that_differ_have_names_that_differ():
    texts = ["a/b", "a_b", "a:b", "a\\b", "_a_b", "a" * 200, "a" * 201, ".a", "a", ""]
    assert len({file_name(text) for text in texts}) == len(texts)


@pytest.mark.parametrize("end", ["csv", "npz"])
def test_two_tables_of_one_name_do_not_meet(end, tmp_path):
    out = tmp_path / f"answers.{end}"
    with open_table(str(out), ["x"], {}) as first:
        with open_table(str(out), ["x"], {}) as second:
            second.add({"n": np.array([2])})
        first.add({"n": np.array([1])})
    if end == "csv":
        assert out.read_text().splitlines() == ["example,n", "x,1"]
    else:
        with np.load(out) as arrays:
            assert arrays["n"].tolist() == [1]
    assert list(tmp_path.iterdir()) == [out]
