"""The rooms stand in the order of the data, and imports go one way."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "tfcnf"
ROOMS = [
    {"libraries"},
    {
        "precision",
        "types",
        "seeds",
        "files",
        "records",
        "run_state",
        "checks",
        "registry",
    },
    {"labels"},
    {"data"},
    {"ode"},
    {"tolerances"},
    {"flows"},
    {"latent"},
    {"losses"},
    {"models"},
    {"training"},
    {"evaluation"},
    {"diagnostics"},
    {"tasks"},
    {"reporting"},
    {"serving"},
    {"runs.config"},
    {"runs.folder"},
    {"runs.data"},
    {"runs.build", "runs.results"},
    {"runs.run"},
    {"runs.warm_start", "runs.recording", "runs.table_answers"},
    {"runs.series_answers"},
    {"runs.start"},
    {"runs.experiment"},
    {"runs.sweep"},
    {"uses"},
    {"command_line"},
]
SPLIT = ("runs",)  # rooms whose files have an order of their own
PLACE = {room: i for i, rooms in enumerate(ROOMS) for room in rooms}
SURFACES = [
    ROOT / "__init__.py",
    ROOT / "public.py",
    *(ROOT / room / "__init__.py" for room in SPLIT),
]
BESIDE = ROOT.parent
FILES = sorted(p for p in ROOT.rglob("*.py") if p not in SURFACES)


def imported(path):
    tree = ast.walk(ast.parse(path.read_text()))
    return {
        name.split(".")[0]
        for node in tree
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    }


def room_of(parts):
    """The room of a file or a module, from the names that lead to it."""
    parts = [part.removesuffix(".py") for part in parts]
    return ".".join(parts[: 2 if parts[0] in SPLIT else 1])


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            package, *parts = node.module.split(".")
            if package == "tfcnf":
                names = [[alias.name] for alias in node.names]
                is_whole = len(parts) > 1 or (parts and parts[0] not in SPLIT)
                yield from {room_of(parts + ([] if is_whole else n)) for n in names}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_to_rooms_on_the_left(path):
    room = room_of(path.relative_to(ROOT).parts)
    for other in imported_rooms(path):
        assert PLACE[other] <= PLACE[room], f"{path} imports {other}"


def test_configurations_are_only_read_outside_the_package():
    for path in FILES:
        assert "ml_collections" not in path.read_text(), path


def test_the_solver_of_tfp_is_used_in_one_room():
    users = {p.relative_to(ROOT).parts[0] for p in FILES if "math.ode" in p.read_text()}
    assert users == {"ode"}


def test_the_package_does_without_what_stands_beside_it():
    for path in FILES:
        assert not {"benchmarks", "papers"} & imported(path), path


def test_no_script_has_the_name_of_a_module_of_python():
    # its folder comes first on the path: whatever imports that module gets the script
    names = {path.stem for path in BESIDE.glob("launch/*.py")}
    assert names
    assert not names & sys.stdlib_module_names


PAPERS = [  # the reproduction: its files in the order of their imports
    *({"spiral_posterior", "arms", "authors", "trajectories"}, {"baselines", "tables"}),
    *({"comparison", "labels", "one_run"}, {"series"}, {"report"}),
]


@pytest.mark.parametrize(
    "path", sorted(BESIDE.glob("papers/[a-z]*.py")), ids=lambda p: p.stem
)
def test_imports_among_the_papers_files_go_one_way(path):
    place = {name: i for i, names in enumerate(PAPERS) for name in names}
    tree = ast.walk(ast.parse(path.read_text()))
    nodes = [node for node in tree if isinstance(node, ast.ImportFrom)]
    names = [
        (node.module or "").split(".") + [a.name for a in node.names] for node in nodes
    ]
    for package, other, *_ in names:
        assert package != "benchmarks", path
        if package == "papers":
            assert place[other] < place[path.stem], f"{path} imports {other}"


def test_no_call_passes_seven_values_by_position():
    for room in ("tfcnf", "papers", "benchmarks", "launch", "configs"):
        for path in sorted(BESIDE.glob(f"{room}/**/*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                is_long = isinstance(node, ast.Call) and len(node.args) >= 7
                assert not is_long, f"{path}:{node.lineno}"


DRAWING = {"diagnostics", "tasks", "reporting"}
LIGHT = DRAWING | {"checks", "files", "records", "registry", "run_state", "losses"}


@pytest.mark.parametrize(
    "path", [p for p in FILES if DRAWING & set(p.parts)], ids=lambda p: p.stem
)
def test_what_draws_reports_imports_what_computes_where_it_is_used(path):
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            package, *parts = node.module.split(".")
            is_light = parts[:1] == ["data"] and parts[1:] == ["arrays"]
            assert package != "tfcnf" or parts[0] in LIGHT or is_light, node.module
        elif isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
            heavy = {"tensorflow", "tensorflow_probability", "keras", "tf_keras"}
            assert not names & heavy, names


def test_noise_is_drawn_in_one_place():
    words = ("tf.random.", "stateless_dropout", "keras.random.", "raw_ops.Stateless")
    for path in FILES:
        text = path.read_text().replace("keras.random.SeedGenerator", "")
        assert path.name == "seeds.py" or not any(word in text for word in words), path


def test_docstrings_begin_with_a_noun_phrase_or_an_imperative():
    words = "What|How|Whose|Those|That|Whether|Which|Who|When|Where|Why"
    clause = re.compile(rf'^\s*r?"""(?:{words})\b', re.M)
    for path in [*FILES, *ROOT.parent.glob("benchmarks/*.py")]:
        assert not clause.search(path.read_text()), path
