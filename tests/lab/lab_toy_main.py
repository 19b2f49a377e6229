"""The toy study as a command: ``python lab_toy_main.py STORE [--workers N] [--set a.b=c]...``; 0 when complete."""

import argparse
import sys

from lab_toy import STUDY

from paribus.errors import ParibusError
from paribus.lab import Store, run_plan


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    options = parser.parse_args()
    try:
        plan = STUDY.plan(STUDY.at("smoke", options.overrides))
        report = run_plan(plan, Store(options.store), workers=options.workers)
    except ParibusError as error:
        print(error, file=sys.stderr)
        return 2
    return 130 if report.interrupted else int(not report.ok)


if __name__ == "__main__":
    sys.exit(main())
