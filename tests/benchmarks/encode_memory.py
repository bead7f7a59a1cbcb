"""Peak memory of the encode stage against the number of images, each in a process of its own.

python -m tests.benchmarks.encode_memory FOLDER --images 8000

Counts double up to --images; memory that grows with them would double too.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys

import torch

from tests.benchmarks.encode_setup import encode_stage, load, machine, options, write_pictures


def peak_of_one(given: argparse.Namespace) -> None:
    """Run the stage once and print what it took, MiB: of the process, and of the GPU."""
    settings, _, _ = load(given)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    encode_stage(write_pictures(given.folder, given.images), settings)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    print(before // 1024, after // 1024, gpu >> 20)


def main() -> None:
    """Print the table."""
    parser = options("tests.benchmarks.encode_memory", __doc__, 8000)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        peak_of_one(given)
        return
    counts = sorted({given.images // 8, given.images // 4, given.images // 2, given.images})
    print(machine())
    print(f"{'images':>8} {'with the model, MiB':>20} {'peak, MiB':>10} {'ratio':>6} {'GPU':>8}")
    first = 0
    for count in counts:
        write_pictures(given.folder, count)
        arguments = [str(given.folder), "--images", str(count), "--alone"]
        for name in ("model", "device", "precision"):
            arguments += [f"--{name}", getattr(given, name)]
        command = [sys.executable, "-m", "tests.benchmarks.encode_memory", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        before, peak, gpu = map(int, done.stdout.split())
        first = first or peak
        print(f"{count:8,} {before:20,} {peak:10,} {peak / first:6.2f} {gpu:8,}", flush=True)


if __name__ == "__main__":
    main()
