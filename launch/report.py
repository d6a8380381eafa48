"""Makes tables (Markdown) and figures (PNG) from files of finished runs or benchmarks.

    python launch/report.py --runs=runs/sweep --out=runs/sweep
    python launch/report.py --workdir=runs/spirals
    python launch/report.py --workdir=runs/code_0,runs/code_1,runs/head_0,runs/head_1 \\
        --out=runs/spirals_report
    python launch/report.py --benchmark=runs/benchmarks/step.json

``--runs`` compares all run folders below a folder and writes report.md; ``--workdir``
draws what one run on points, series or images left and writes report.html about it, a
single file to open in a browser, or several together with a table of their scores and
its spread over seeds; ``--benchmark`` writes a Markdown file and a figure beside the
JSON that launch/benchmark.py left.
"""

import sys
from pathlib import Path

from absl import flags

import tfcnf.command_line as command_line
from tfcnf.reporting import runs

sys.path.insert(0, str(Path(__file__).parents[1]))  # these two are not installed
from benchmarks import report as benchmarks
from papers import one_run, report

RUNS = flags.DEFINE_string("runs", None, "Folder with run folders, at any depth.")
WORKDIR = flags.DEFINE_list("workdir", None, "Run folders, comma-separated.")
BENCHMARK = flags.DEFINE_string("benchmark", None, "JSON file of a benchmark.")
OUT = flags.DEFINE_string("out", None, "Folder to write to; that of the input if None.")


def main() -> None:
    if BENCHMARK.value:
        print(benchmarks.write(BENCHMARK.value, OUT.value))
    elif WORKDIR.value:
        for draw in (runs.report, one_run.draw):
            print(*draw(WORKDIR.value, OUT.value), sep="\n")
    else:
        report.write(RUNS.value, OUT.value or RUNS.value)


if __name__ == "__main__":
    inputs = ["runs", "workdir", "benchmark"]
    flags.mark_flags_as_mutual_exclusive(inputs, required=True)
    command_line.run(main)
