"""Run benchmarks, and write or check the table of results: `make bench`, `make bench-check`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks._comparison import compare, lines
from benchmarks._results import Result, Results
from benchmarks._table import to_markdown

FOLDER = Path(__file__).parent
RESULTS, PAGE = FOLDER / "results.json", FOLDER / "RESULTS.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("action", choices=("run", "check"), help="run: write; check: compare")
    parser.add_argument("programs", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--options", default="", help="options of each program, in one string")
    options = parser.parse_args()
    if missing := [str(program) for program in options.programs if not program.exists()]:
        parser.error(f"file not found: {', '.join(missing)}")
    if options.action == "check" and not RESULTS.exists():
        parser.error(f"{RESULTS.name} does not exist: `make bench` writes it")
    results, failed = run_all(options.programs, options.options.split())
    before = Results()
    if RESULTS.exists():
        before = Results.model_validate_json(RESULTS.read_text("utf-8"))
    if options.action == "run":
        write(before.update(results))
        bad = report_targets(results)
    else:
        after = Results(benchmarks=results)
        print("\n== compared with the committed table", *lines(before, after), sep="\n")
        bad = compare(before, after).is_worse
    for program in failed:
        print(f"failed: {program}: no results; the rows in the table are older")
    return 1 if bad or failed else 0


def run_all(
    programs: Sequence[Path], options: Sequence[str]
) -> tuple[dict[str, Result], list[Path]]:
    """Run all programs, also after one that fails. Return results by name, and failed programs."""
    results: dict[str, Result] = {}
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for program in programs:
            print(f"\n== {program}", flush=True)
            file = Path(folder, f"{program.stem}.json")
            subprocess.run([sys.executable, str(program), "--json", str(file), *options])
            if file.exists():  # the exit code is 1 if a target is missed
                document = json.loads(file.read_text("utf-8"))
                del document["numbers"]
                results[program.stem] = Result.model_validate(document)
            else:
                failed.append(program)
    return results, failed


def write(results: Results) -> None:
    RESULTS.write_text(results.model_dump_json(indent=1) + "\n", "utf-8")
    PAGE.write_text(to_markdown(results), "utf-8")


def report_targets(results: Mapping[str, Result]) -> bool:
    """Print the missed targets of all benchmarks. Return True if there are any."""
    missed = [
        f"missed: {name}: {target.what}: {target.measured:.4g} {target.unit}, "
        f"at most {target.at_most:.4g}"
        for name, result in results.items()
        for target in result.targets
        if not target.met
    ]
    print("\n== targets", *(missed or ["all met"]), sep="\n")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
