"""The study of denoising autoencoders: `python run_study.py --grid paper`; `--help` shows more."""

import os
import sys

from study.cli import main

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
