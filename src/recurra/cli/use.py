"""The verbs for a saved model: `recurra evaluate`, `recurra predict` and `recurra inspect`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from recurra.cli import options
from recurra.cli.screen import Screen

__all__ = ["evaluate", "inspect", "predict"]


def evaluate(
    model: options.Model,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labelled rows, in the format of fit.")],
    report: Annotated[Path | None, typer.Option(help="Also write the metrics as an HTML page.")] = None,
    train: Annotated[
        Path | None, typer.Option(help="The training file, for the baseline.  [default: its path at fit]")
    ] = None,
    baseline: Annotated[bool, typer.Option(help="Also measure the baseline.")] = True,
    settings: options.FileSettings = None,
    skip_bad_rows: options.SkipBadRows = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure a saved model on labelled data: metrics with confidence intervals, beside the baseline."""
    from recurra.tasks.use import evaluate_files

    screen = Screen(as_json, quiet=quiet)
    result = evaluate_files(
        model,
        data,
        report=report,
        train=train,
        baseline=baseline,
        settings=options.file_settings(settings, skip_bad_rows),
        reporter=screen,
    )
    screen.finish(result)


def predict(
    model: options.Model,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", help="Files of rows; - or none: stdin.")
    ] = None,
    text: Annotated[list[str] | None, typer.Option(help="A text. Can be repeated.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write to this file (.csv, .tsv, .jsonl or .parquet) instead of stdout; for several files, "
            "the directory of one file for each."
        ),
    ] = None,
    form: Annotated[
        Literal["csv", "tsv", "jsonl", "parquet"] | None,
        typer.Option("--format", help="Output format.  [default: that of the suffix of --out; csv]"),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLS",
            help="Columns of the file to repeat: a name, or names separated by commas. Can be repeated.  "
            "[default: all]",
        ),
    ] = None,
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities", help="Add the probability of each class (classify); always so with --text."
        ),
    ] = False,
    abstain: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            min=0.0,
            max=1.0,
            help='Answer "unsure" below this confidence (classify).  [default: that of the model]',
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of processes that compute answers.  [default: 1; with --engine one per processor]",
        ),
    ] = None,
    engine: options.ScoringEngine = None,
    address: options.Address = None,
    next_tokens: Annotated[
        int | None,
        typer.Option(
            "--next",
            metavar="K",
            help="Predict the K most likely next words.",
            rich_help_panel="Language models",
        ),
    ] = None,
    generate: Annotated[
        int | None,
        typer.Option(metavar="N", help="Continue the text by N words.", rich_help_panel="Language models"),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Sampling temperature: 0 is greedy, 1 is the model's distribution.",
            rich_help_panel="Language models",
        ),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option(
            "--top-k",
            metavar="K",
            help="Sample from the K most likely words only.",
            rich_help_panel="Language models",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the sampling.", rich_help_panel="Language models")
    ] = None,
    tokens: Annotated[
        bool,
        typer.Option(
            "--tokens", help="Score each word instead of the text.", rich_help_panel="Language models"
        ),
    ] = False,
    every: Annotated[
        bool,
        typer.Option("--all", help="Forecast from every row instead of only the last (forecast)."),
    ] = False,
    all_classes: Annotated[
        bool,
        typer.Option(
            "--all-classes",
            help="With more than 100 classes, give all probabilities instead of the five largest (classify).",
        ),
    ] = False,
    safe_csv: Annotated[
        bool,
        typer.Option(
            "--safe-csv",
            help="Put an apostrophe before cells that a spreadsheet takes for formulas (= + - @).",
        ),
    ] = False,
    columns: Annotated[
        bool, typer.Option("--columns/--no-columns", help="Repeat the columns of the file in the answers.")
    ] = True,
    settings: options.FileSettings = None,
    skip_bad_rows: options.SkipBadRows = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Write the rows of a file with answers beside them: labels, tags, scores or forecasts.

    The answer to --text on a terminal is for people; --format csv, a pipe or --out give CSV.

    A language model (lm) scores each text: its log2-probability and its perplexity per word.
    """
    if text and files:
        raise typer.BadParameter("give a file or --text, not both", param_hint="FILE")
    if text and keep:
        raise typer.BadParameter("a text has no columns", param_hint="--keep")
    if keep and not columns:
        raise typer.BadParameter("--keep and --no-columns exclude each other", param_hint="--keep")
    if files and len(files) > 1 and out is None:
        raise typer.BadParameter("give the directory of the answers to several files", param_hint="--out")
    from recurra.tasks.answer_files import BINARY, write_answers, write_parquet_answers
    from recurra.tasks.base import PredictRequest
    from recurra.tasks.scoring import expected_rows, score, types_of
    from recurra.tasks.use import answers_of, load
    from recurra.tasks.work import computed

    screen = Screen(as_json, aside=True, quiet=quiet)
    task_options = options.given(
        next=next_tokens,
        generate=generate,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
        tokens=tokens,
        all=every,
        all_classes=all_classes,
        probabilities=probabilities,
        abstain=abstain,
    )
    described = options.file_settings(settings, skip_bad_rows)
    kept = tuple(name for names in keep for name in options.column_names(names)) if keep else columns
    each: list[Path | None] = [*files] if files else [None]
    requests = [PredictRequest(file, text or [], task_options, described, kept) for file in each]
    if out is not None:
        scored = score(
            model, requests, out, form=form, jobs=jobs, engine=engine, address=address, safe_csv=safe_csv,
            reporter=screen,
        )  # fmt: skip
        screen.note(f"{scored.answers:,} answers in {out}")
        screen.finish({"model": str(model), **scored.as_json()})
        return
    written_as, on_terminal, file = form or "csv", sys.stdout.isatty(), requests[0].file
    if written_as == BINARY and on_terminal:
        raise typer.BadParameter("Parquet is not text: give --out, or a pipe", param_hint="--format")
    bundle = load(model)
    with computed(
        model,
        requests,
        lambda request: answers_of(bundle, request),
        jobs=jobs,
        engine=engine,
        address=address,
    ) as found:
        answers = next(found)
        known = [*answers.warnings]
        for sentence in known:
            screen.warn(sentence)
        if text and on_terminal and form is None and not (as_json or safe_csv):
            from recurra.cli.spoken import speak

            count = speak(answers, text, Screen())
        elif on_terminal:  # no progress between the answers
            count = write_answers(answers, sys.stdout, written_as, safe=safe_csv)
        else:
            with screen.counting("predicting", expected_rows(file)) as tick:
                if written_as == BINARY:
                    types = types_of(file) if answers.columns else {}
                    count = write_parquet_answers(answers, sys.stdout.buffer, tick=tick, types=types)
                else:
                    count = write_answers(answers, sys.stdout, written_as, safe=safe_csv, tick=tick)
        for sentence in answers.warnings[len(known) :]:
            screen.warn(sentence)
    notes = {name: number for name, number in answers.counts.items() if name != "rows"}
    screen.finish({"model": str(model), "rows": count, "notes": notes, "out": None})


def inspect(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="The model directory; for memory, also the name of a recipe."),
    ],
    what: Annotated[
        Literal["summary", "words", "explain", "memory"],
        typer.Argument(
            metavar="WHAT",
            help="summary; words, with a word; explain, with a text; memory, with an optional file.",
        ),
    ] = "summary",
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT",
            help="The text to explain; the word to find the nearest words of; for memory, a file of texts.  "
            "[default: the training file]",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="memory: use untrained weights.")] = False,
    beside: Annotated[
        list[Path] | None,
        typer.Option(metavar="MODEL", help="memory: another model or recipe beside it. Can be repeated."),
    ] = None,
    radius: Annotated[
        str | None,
        typer.Option(
            metavar="R,...",
            help="memory: measure with recurrent matrices of these spectral radii, such as 0.9,1.1.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="memory: number of steps to look back.  [default: 100, fewer if texts are shorter]"
        ),
    ] = None,
    texts: Annotated[
        int | None,
        typer.Option(
            help="memory: number of texts.  [default: 32]; explain --out: rows that are explained.  "
            "[default: 1000]"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="memory: write a figure to this file (.html, .png or .svg); explain: TEXT is a file "
            "of rows, and a page (.html, with .jsonl beside it) or lines (.jsonl) are written."
        ),
    ] = None,
    settings: options.FileSettings = None,
    as_json: options.AsJson = False,
) -> None:
    """Show a model's layers, the nearest words of a word, the explanation of a prediction, or its memory."""
    many = what == "explain" and out is not None
    given: dict[str, object] = {
        "--fresh": fresh, "--beside": beside, "--radius": radius, "--steps": steps,
    }  # fmt: skip
    if not many:
        given |= {"--texts": texts, "--out": out}
        if settings:
            raise typer.BadParameter("only valid with explain FILE --out", param_hint="--set")
    for name, value in given.items():
        if what != "memory" and value not in (None, False):
            raise typer.BadParameter(f"only valid with memory, not with {what}", param_hint=name)
    from recurra.tasks.use import explain, summary, words

    screen = Screen(as_json)
    if what == "summary":
        screen.finish(summary(model, screen))
    elif what == "memory":
        from recurra.tasks.memory import inspect_memory

        data = None if text is None else Path(text)
        count = 32 if texts is None else texts
        result = inspect_memory(
            model,
            data,
            screen,
            fresh=fresh,
            beside=beside or [],
            radii=[] if radius is None else options.numbers(radius, "--radius"),
            steps=steps,
            texts=count,
            out=out,
        )
        screen.finish(result)
    elif text is None:
        missing = "the word to look up" if what == "words" else "the text to explain"
        raise typer.BadParameter(f"give {missing}", param_hint="TEXT")
    elif what == "words":
        screen.finish(words(model, text, screen))
    elif out is not None:
        _explain_file(model, Path(text), out, texts, settings, screen)
    else:
        screen.finish(explain(model, text, screen))


def _explain_file(
    model: Path, data: Path, out: Path, texts: int | None, settings: list[str] | None, screen: Screen
) -> None:
    """Writes the explanations of a file, and prints the strongest words of each class and the test."""
    from recurra.tasks.explain_rows import TEXTS, explain

    described = options.file_settings(settings, False)
    found = explain(
        model, data, out=out, texts=TEXTS if texts is None else texts, settings=described, reporter=screen
    )
    rows = [
        (words.label, f"{words.rows:,}", ", ".join(word.text for word in words.towards[:6]))
        for words in found.classes[:20]
    ]
    screen.table("", ("predicted class", "texts", "words that push it"), rows)
    if found.deletion is not None:
        screen.note(found.deletion.sentence())
    screen.note(f"{len(found.rows):,} of {found.of:,} texts explained: {out}")
    screen.finish({"out": str(out), **found.model_dump(mode="json", exclude={"rows"})})
