"""What graph passes gain on ONNX Runtime: one ONNX file without and with each list of passes, timed in turn.

The time is that of the processor in the calling thread, with one thread, so that other programs disturb little.
"""

import argparse
import sys
from pathlib import Path
from time import thread_time
from typing import Any

import onnx_ir as ir
import onnxruntime as ort
from measure import Range, print_signature, ratios, work_folder

from inferry.pipeline.optimising.cases import Case, made_up_cases
from inferry.pipeline.optimize import optimize


def main() -> int:
    """Optimise, measure, print the ratios; 1 if a pass was rolled back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="ONNX file; a bundle's is model.onnx")
    parser.add_argument("--passes", action="append", required=True, help="names, separated by commas; once a variant")
    parser.add_argument("--sizes", action="append", default=[], help="such as batch=1,samples=80000; once a case")
    parser.add_argument("--rounds", type=int, default=5, help="measured runs of each variant, in turn; default: 5")
    parser.add_argument("--work", type=Path, help="folder for the rewritten files; default: a temporary one")
    arguments = parser.parse_args()
    print_signature()
    kept = True
    with work_folder(arguments.work) as work:
        files = {}
        for number, names in enumerate(["", *arguments.passes]):
            # Without a pass the file is written anew too: how it lies on the disk and in memory must not count.
            files[names or "no pass"] = work / f"{number}.onnx"
            ledger = optimize(arguments.model, work / f"{number}.onnx", names.split(",") if names else [])
            kept = kept and not ledger.rolled_back
            matches = sum(entry.matches for entry in ledger.entries)
            print(f"{names or 'no pass'}: {matches} matches, {ledger.difference:.1e} apart")
        sessions = {names: _session(file) for names, file in files.items()}
        for case in _cases(arguments.model, arguments.sizes):
            _measure(case, sessions, arguments.rounds)
    return int(not kept)


def _cases(model: Path, sizes: list[str]) -> list[Case]:
    loaded = ir.load(model)
    wanted = [{name: int(size) for name, size in (part.split("=") for part in text.split(","))} for text in sizes]
    return [next(iter(made_up_cases(loaded, 0, one))) for one in wanted or [{}]]


def _session(file: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def _measure(case: Case, sessions: dict[str, Any], rounds: int) -> None:
    """Print one line a variant; the first round does not count, and each begins with another variant."""
    seconds: dict[str, list[float]] = {names: [] for names in sessions}
    order = list(sessions)
    for turn in range(rounds + 1):
        for names in (*order[turn % len(order) :], *order[: turn % len(order)]):
            start = thread_time()
            sessions[names].run(None, dict(case.inputs))
            seconds[names].append(thread_time() - start)
    first = next(iter(sessions))
    for names, measured in seconds.items():
        ratio = ratios(measured[1:], seconds[first][1:])
        print(f"{case.sizes}: {names}: {Range.of(measured[1:])} s, ratio {ratio}")


if __name__ == "__main__":
    sys.exit(main())
