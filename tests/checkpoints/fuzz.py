"""Mutated weight files of every format: each is read, or refused by an error of ours.

``python tests/checkpoints/fuzz.py --seconds 600`` tries case after case and prints the count of each outcome.
A case is its number: ``--first N --cases 1`` tries it again. What ends otherwise (a foreign error, over five
seconds, over a gigabyte, a crash) is kept as a file in ``--keep`` and makes the exit status 1.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from hostile import pickles, read, safetensors_files, small_checkpoint
from onnx_graphs import Exported

from gpen_nodes.checkpoints import write_checkpoint

PATIENCE, MEGABYTES = 5, 1000
NUMBERS = (0, 1, 2**31 - 1, 2**32, 2**63 - 1, 2**64 - 1)


class TooLong(BaseException):
    """Raised by the alarm; no handler for ``Exception`` takes it."""


def seeds(folder: Path) -> list[bytes]:
    """Whole files to begin with, and liars to make worse."""
    checkpoint, path = small_checkpoint(), folder / "seed"
    files = []
    for layout, legacy in (("flat", 0), ("flat", 1), ("bundle", 0), ("bundle", 1), ("safetensors", 0)):
        write_checkpoint(checkpoint, path, layout, legacy=bool(legacy))  # type: ignore[arg-type]
        files.append(path.read_bytes())
    for folded in (False, True):
        Exported(dict(checkpoint.state), folded).write(path)
        files.append(path.read_bytes())
    liars = {**pickles(), **safetensors_files()}
    return files * 4 + [data for data in liars.values() if len(data) < 2**20]


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """A few changes, most of them where names, shapes and instructions are."""
    if data[:2] == b"PK" and rng.random() < 0.7:
        return mutate_pickle_of_zip(data, rng)
    changed = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        change_once(changed, rng)
    return bytes(changed)


def change_once(data: bytearray, rng: np.random.Generator) -> None:
    if not data:
        return
    # Descriptions stand at the start or at the end; the middle is numbers.
    span = len(data) if rng.random() < 0.2 else min(len(data), 2 ** int(rng.integers(4, 15)))
    at = int(rng.integers(span)) if rng.random() < 0.8 else len(data) - 1 - int(rng.integers(span))
    kind = rng.integers(6)
    length = int(2 ** rng.integers(0, 7))
    if kind == 0:
        data[at] = rng.integers(256)
    elif kind == 1:
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        data[at : at + 8] = NUMBERS[rng.integers(len(NUMBERS))].to_bytes(8, "little")
    elif kind == 3:
        del data[at : at + length]
    elif kind == 4:
        data[at:at] = data[at : at + length] * int(2 ** rng.integers(0, 6))
    else:
        source = int(rng.integers(len(data)))
        data[at : at + length] = data[source : source + length]


def mutate_pickle_of_zip(data: bytes, rng: np.random.Generator) -> bytes:
    """Changes in the pickle alone, in a zip that is whole."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for info in old.infolist()[:200]:
            content = bytearray(old.read(info))
            if info.filename.endswith("data.pkl"):
                for _ in range(rng.integers(1, 4)):
                    change_once(content, rng)
            new.writestr(info.filename, bytes(content))
    return stream.getvalue()


def try_case(number: int, files: list[bytes], path: Path) -> tuple[str, float]:
    """Outcome and seconds of the case of this number, whose file is left at ``path``."""
    rng = np.random.default_rng(number)
    path.write_bytes(mutate(files[int(rng.integers(len(files)))], rng))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    signal.setitimer(signal.ITIMER_REAL, 60)  # of a clock that a busy machine does not hold up for ever
    try:
        kind, message = read(path)
    except TooLong:
        return "HANGS", 60
    except MemoryError:
        kind, message = "TOO LARGE", ""
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    seconds = time.process_time() - began
    if seconds > PATIENCE:
        kind = "TOO SLOW"
    elif (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 > MEGABYTES:
        kind = "TOO LARGE"
    elif not message.isprintable():
        kind = "RAW"
    return kind, seconds


def work(first: int, cases: int, seconds: float, folder: Path, keep: Path) -> None:
    """Try cases; ``current`` tells the number of the one under way, should it end the process."""

    def alarm(*_: object) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, alarm)
    files, outcomes, slowest = seeds(folder), Counter[str](), 0.0
    end, number = time.monotonic() + seconds, first
    while time.monotonic() < end and number < first + cases:
        (folder / "current").write_text(str(number))
        kind, took = try_case(number, files, folder / "case")
        outcomes[kind.split()[0] if kind.startswith("FOREIGN") else kind] += 1
        slowest = max(slowest, took)
        if kind.split()[0] in ("FOREIGN", "HANGS", "TOO", "RAW"):
            keep.mkdir(exist_ok=True)
            (keep / f"{number}.pth").write_bytes((folder / "case").read_bytes())
            print(f"case {number}: {kind}, kept as {keep / f'{number}.pth'}", file=sys.stderr)
        number += 1
    json.dump({"next": number, "outcomes": outcomes, "slowest": slowest}, (folder / "report").open("w"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--cases", type=int, default=10**9)
    parser.add_argument("--keep", type=Path, default=Path("fuzz"))
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.folder:
        work(args.first, args.cases, args.seconds, args.folder, args.keep)
        return 0
    outcomes, slowest, number, end = Counter[str](), 0.0, args.first, time.monotonic() + args.seconds
    while (left := end - time.monotonic()) > 0 and number < args.first + args.cases:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            cases = min(5000, args.first + args.cases - number)  # a fresh process now and then
            options = {"seconds": left, "first": number, "cases": cases, "keep": args.keep, "folder": folder}
            command = [sys.executable, __file__]
            command += [part for key, value in options.items() for part in (f"--{key}", str(value))]
            run = subprocess.run(command, check=False)
            if run.returncode > 0:
                raise RuntimeError("the fuzzer itself failed")
            if run.returncode:  # a signal ended the process
                number = int((folder / "current").read_text())
                args.keep.mkdir(exist_ok=True)
                (args.keep / f"{number}.pth").write_bytes((folder / "case").read_bytes())
                outcomes["CRASH"] += 1
                number += 1
                continue
            report = json.loads((folder / "report").read_text())
            outcomes.update(report["outcomes"])
            slowest, number = max(slowest, report["slowest"]), report["next"]
    print(f"{number - args.first} cases, the slowest in {slowest:.2f} s")
    print("\n".join(f"{count:8}  {kind}" for kind, count in outcomes.most_common()))
    return any(kind.isupper() for kind in outcomes)


if __name__ == "__main__":
    sys.exit(main())
