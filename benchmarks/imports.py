"""What importing costs above scikit-learn's own base, in fresh processes.

python benchmarks/imports.py
"""

import statistics
import subprocess
import sys

from common import arguments, report

PROGRAM = """
import time
start = time.perf_counter()
import sklearn.base
middle = time.perf_counter()
from linear_diffusion import LinearDiffusion
print(middle - start, time.perf_counter() - middle)
"""


def main(options):
    command = [sys.executable, "-c", PROGRAM]
    printed = [subprocess.run(command, check=True, capture_output=True).stdout for _ in range(options.repeat + 1)]
    runs = [[float(x) for x in line.split()] for line in printed]
    base, above = (statistics.median(column) for column in zip(*runs[1:], strict=True))
    rows = [["`import sklearn.base`", f"{base:.2f} s"], ["`LinearDiffusion`, above it", f"{above:.2f} s"]]
    report("imports", ["import", "time"], rows, {"sklearn_base": base, "above_it": above})


if __name__ == "__main__":
    main(arguments(__doc__))
