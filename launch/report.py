"""Makes tables (Markdown) and figures (PNG) from files of finished runs or benchmarks.

    python launch/report.py --runs=runs/sweep --out=runs/sweep
    python launch/report.py --benchmark=runs/benchmarks/step.json

``--runs`` compares all run folders below a folder and writes report.md; ``--benchmark``
writes a Markdown file and a figure beside the JSON that launch/benchmark.py left.
"""

from absl import flags

from tfcnf import command_line
from tfcnf.reporting import benchmarks, report

RUNS = flags.DEFINE_string("runs", None, "Folder with run folders, at any depth.")
BENCHMARK = flags.DEFINE_string("benchmark", None, "JSON file of a benchmark.")
OUT = flags.DEFINE_string("out", None, "Folder to write to; that of the input if None.")


def main() -> None:
    if BENCHMARK.value:
        print(benchmarks.write(BENCHMARK.value, OUT.value))
    else:
        report.write(RUNS.value, OUT.value or RUNS.value)


if __name__ == "__main__":
    flags.mark_flags_as_mutual_exclusive(["runs", "benchmark"], required=True)
    command_line.run(main)
