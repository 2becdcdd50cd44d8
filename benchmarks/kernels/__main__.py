"""The command line, to be typed in the folder above ``benchmarks``:

python -m benchmarks.kernels run --grid table --out benchmarks/results/kernels.csv
python -m benchmarks.kernels run --grid single --peers "recurra,ONNX Runtime" --resume 2026-11-29 --limit 100
python -m benchmarks.kernels run --grid full --cell lstm --batch 64 --units 100,256 --resume --out rows.csv
python -m benchmarks.kernels table benchmarks/results/kernels.csv --plot kernels.svg
python -m benchmarks.kernels ahead benchmarks/results/kernels.csv
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.kernels.grid import CELLS, GRIDS, VARIANTS, Case
from benchmarks.kernels.peers.roster import PEERS
from benchmarks.kernels.rows import Row


def main() -> None:
    parser = argparse.ArgumentParser("benchmarks.kernels", description=__doc__.split("\n")[0])
    verbs = parser.add_subparsers(required=True)
    one = verbs.add_parser("run", help="time cases, append rows to a CSV file")
    one.set_defaults(verb=_run)
    one.add_argument("--grid", choices=GRIDS, default="table", help="default: table")
    _filters(one)
    one.add_argument("--peers", type=_names(PEERS), default=list(PEERS), help=f"of {', '.join(PEERS)}")
    kept = "peers timed a second time, in a process that keeps freed memory; default: all"
    one.add_argument("--tuned", type=_names(PEERS), default=list(PEERS), help=kept)
    one.add_argument("--backend", default="", help="of ours; default: cpu where there is one, else auto")
    one.add_argument("--threads", type=int, help="for each peer; default: all cores")
    one.add_argument("--seconds", type=float, default=8.0, help="of timing a case, shared by its peers")
    resume = "leave out cases that the file has already, of this date and time (ISO) or later"
    one.add_argument("--resume", nargs="?", const="", metavar="SINCE", help=resume)
    limit = "seconds after which no more case is started; a later run with --resume goes on"
    one.add_argument("--limit", type=float, default=float("inf"), metavar="SECONDS", help=limit)
    one.add_argument("--list", action="store_true", help="print the cases and stop")
    one.add_argument("--out", type=Path, default=Path("benchmarks/results/kernels.csv"))
    two = verbs.add_parser("table", help="the newest rows of a CSV file as a table, and as a plot")
    two.set_defaults(verb=_table)
    _filters(two)
    two.add_argument("rows", type=Path)
    two.add_argument("--markdown", type=Path, help="write the table here instead of printing it")
    two.add_argument("--plot", type=Path, help="write a plot here (.svg or .png)")
    three = verbs.add_parser("ahead", help="for each kind of machine, in which cases a peer is ahead")
    three.set_defaults(verb=_ahead)
    _filters(three)
    three.add_argument("rows", type=Path)
    options = parser.parse_args()
    options.verb(options)


def _run(options: argparse.Namespace) -> None:
    cases = [case for case in GRIDS[options.grid]() if _wanted(case, options)]
    if options.list:
        print(*cases, f"{len(cases)} cases", sep="\n")
        return
    from benchmarks.kernels.machine import cores
    from benchmarks.kernels.run import run

    options.threads = options.threads or cores()
    try:
        left = run(cases, options)
    except KeyboardInterrupt:
        raise SystemExit(
            f"stopped; {options.out} has the cases so far, --resume goes on from there"
        ) from None
    if left:
        print(f"{left} cases left; --resume goes on from there")


def _table(options: argparse.Namespace) -> None:
    from benchmarks.kernels.table import markdown

    rows = _rows(options)
    text = markdown(rows)
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    if options.plot:
        from benchmarks.kernels.plot import plot

        plot(rows, options.plot)


def _ahead(options: argparse.Namespace) -> None:
    from benchmarks.kernels.ahead import who_is_ahead

    print(who_is_ahead(_rows(options)), end="")


def _rows(options: argparse.Namespace) -> list[Row]:
    from benchmarks.kernels.rows import read

    rows = [row for row in read(options.rows) if _wanted(row.case, options)]
    if not rows:
        raise SystemExit(f"no such rows in {options.rows}")
    return rows


def _filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cell", type=_names(CELLS), help=f"of {', '.join(CELLS)}")
    parser.add_argument("--variant", type=_names(VARIANTS), help=f"of {', '.join(VARIANTS)}")
    for letter, name in {"B": "batch", "T": "steps", "E": "features", "H": "units"}.items():
        about = f"sizes {letter}"
        parser.add_argument(f"--{name}", dest=letter, type=_numbers, metavar=f"{letter},..", help=about)


def _wanted(case: Case, options: argparse.Namespace) -> bool:
    return all(
        getattr(options, name) is None or getattr(case, name) in getattr(options, name)
        for name in ("cell", "variant", "B", "T", "E", "H")
    )


def _names(allowed: Iterable[str]) -> Callable[[str], list[str]]:
    known = list(allowed)

    def names(text: str) -> list[str]:
        given = [name for name in text.split(",") if name]
        if unknown := set(given) - set(known):
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {', '.join(known)}")
        return [name for name in known if name in given]

    return names


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    main()
