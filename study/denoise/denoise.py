"""The commands `denoise` and `export` from their options to their files."""

from __future__ import annotations

import math
from itertools import chain
from pathlib import Path

from data_utils.errors import InputError
from data_utils.files import check_file
from data_utils.formats.registry import format_of, read_blocks, write_blocks
from models.folder import Model, check_target, is_model, load_model, save_model
from study.denoise.apply import NAMED, Notes, Task, denoised, prepare_task

CHECK = ".check.html"


def denoise(
    source: Path,
    out: Path,
    model: Path,
    noise_factor: str = "auto",
    impute: bool = False,
    genes_in: str | None = None,
    transform: str = "auto",
    force: bool = False,
    no_check: bool = False,
) -> int:
    """Write `out` and its check, and say what was done; returns 0. Raises InputError, with nothing written."""
    factor = _noise_factor(noise_factor)
    page = None if no_check else check_path(out)
    _check_paths(source, out, page, force)
    loaded = open_model(model)
    blocks = read_blocks(source, genes_in)
    first = next(blocks)
    task = prepare_task(loaded, first, str(source), factor, transform, impute)
    notes = Notes()
    write_blocks(denoised(task, chain([first], blocks), notes), out)
    for line in _lines(task, notes, first.n_genes):
        print(line)
    print(f"denoised: {out}")
    if page is not None:
        from study.denoise.check import write_check

        verdict = write_check(page, task, notes, first, source, out)
        print(f"check:    {page}\n{verdict}")
    return 0


def export(
    source: Path,
    member: str | None = None,
    reference: str | None = None,
    out: Path | None = None,
    onnx: Path | None = None,
    data: str | None = None,
    force: bool = False,
) -> int:
    """Write a model folder, an ONNX file or both, and say what was chosen; returns 0. Raises InputError."""
    if out is None and onnx is None:
        raise InputError(f"{source}: give --out FOLDER for a model folder, --onnx FILE, or both")
    if out is not None:
        check_target(out, force)
    if onnx is not None:
        from models.onnx import check_onnx

        check_onnx()
        check_file(onnx, force)
    model = open_model(source, member, reference, data)
    if out is not None:
        save_model(model, out, force)
        print(f"model: {out}  ({model.name}; its card: {out / 'README.md'})")
    if onnx is not None:
        from models.onnx import write_onnx

        write_onnx(model, onnx)
        print(f"onnx:  {onnx}")
    if out is not None:
        print(f"next:  python run_study.py denoise --model {out} IN OUT")
    return 0


def open_model(
    path: Path, member: str | None = None, reference: str | None = None, data: str | None = None
) -> Model:
    """The model of a model folder, or the one that is chosen from a run; how is printed."""
    if is_model(path):
        if member or reference or data:
            raise InputError(
                f"{path}: is a model folder: --member, --reference and --data go with a run"
            )
        return load_model(path)
    if not (path / "config.json").is_file():
        return load_model(path)  # which says what is missing
    from study.denoise.export import best_model  # loads torch and scikit-learn

    model, lines = best_model(path, member, reference, data)
    for line in lines:
        print(line)
    return model


def check_path(out: Path) -> Path:
    """The page beside OUT: its name, without the ending, and `.check.html`."""
    stem = out.with_suffix("") if out.suffix.lower() == ".gz" else out
    return stem.with_name(stem.stem + CHECK)


def _noise_factor(text: str) -> float | None:
    """None for auto. Raises InputError for what is no noise factor."""
    if text == "auto":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"--noise-factor {text}: give a number of at least 0, or auto")
    return value


def _check_paths(source: Path, out: Path, page: Path | None, force: bool) -> None:
    """Raise InputError where a file is not there, cannot be made, or would be lost."""
    if not source.exists():
        raise InputError(f"{source}: no such file: give the path of an expression file")
    format_of(out)
    for path in filter(None, (out, page)):
        if path.exists() and path.samefile(source):
            raise InputError(f"{out}: is IN itself: give another OUT")
        check_file(path, force)


def _lines(task: Task, notes: Notes, n_genes: int) -> list[str]:
    """What was done, for the screen."""
    match = task.match
    lines = [
        f"{notes.n_samples:,} samples; {match.matched:,} of the model's genes found by {match.id_kind}"
    ]
    if n_genes > match.matched:
        lines.append(
            f"{n_genes - match.matched:,} genes that the model does not know stay as they are"
        )
    if task.missing:
        named = ", ".join(task.missing[:NAMED]) + (", ..." if len(task.missing) > NAMED else "")
        lines.append(
            f"{len(task.missing)} genes are missing and stood at their training mean: {named}"
        )
    if task.transform != "none":
        lines.append(f"log2(x + 1) taken and undone: {task.transform_reason}")
    how = "estimated from the data" if task.estimated else "as given"
    lines.append(f"noise factor {task.noise_factor:.3g}, {how}")
    ratio = task.model.relative_mse(task.noise_factor)
    if task.left_alone:
        why = (
            "no noise was found"
            if task.noise_factor == 0
            else "the model would do harm at so little noise"
        )
        lines.append(f"nothing was changed: {why}")
    elif ratio > 1 and task.noise_factor > 0:
        lines.append(
            f"warning: at that noise factor the model is worse than leaving the data alone: {ratio:.2g} times the MSE "
            "on its validation rows"
        )
    return lines
