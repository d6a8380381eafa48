"""Makes tables and figures from the folders of finished runs.

    python launch/report.py --runs=runs/sweep --out=runs/sweep

Writes report.md (tables in Markdown) and the figures it shows (PNG).
"""

from absl import flags

from tfcnf import command_line
from tfcnf.reporting import report

RUNS = flags.DEFINE_string("runs", None, "Folder with run folders, at any depth.")
OUT = flags.DEFINE_string("out", None, "Folder to write to; that of the runs if None.")


def main() -> None:
    report.write(RUNS.value, OUT.value or RUNS.value)


if __name__ == "__main__":
    flags.mark_flag_as_required("runs")
    command_line.run(main)
