"""Serves an export over HTTP with the package mlserver (the extra "serve").

    python launch/serve.py --export_dir=runs/digits/export --port=8080

It listens on this machine alone; --host=0.0.0.0 opens it to others.
"""

import importlib.util

from absl import flags

from tfcnf import command_line

EXPORT_DIR = flags.DEFINE_string("export_dir", None, "Folder of the export.")
HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen at.")
PORT = flags.DEFINE_integer(
    "port", 8080, "Port of HTTP; gRPC takes the next.", lower_bound=1, upper_bound=65534
)


def main() -> None:
    if importlib.util.find_spec("mlserver") is None:
        raise ValueError(
            'mlserver is needed: pip install "tfcnf[serve]". '
            "Received: no module named mlserver"
        )
    from tfcnf.serving.server import serve

    serve(EXPORT_DIR.value, host=HOST.value, port=PORT.value)


if __name__ == "__main__":
    flags.mark_flags_as_required(["export_dir"])
    command_line.run(main)
