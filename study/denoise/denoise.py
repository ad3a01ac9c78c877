"""The commands `denoise` and `export`, from their options to their files."""

from __future__ import annotations

import math
from itertools import chain
from pathlib import Path

from data_utils.errors import InputError
from data_utils.files import check_file
from data_utils.formats.registry import format_of, read_blocks, write_blocks
from models.folder import Model, check_target, is_model, load_model, save_model
from study.denoise.apply import Task, prepare_task, some


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
    """Write `out` and its check page, and print what was done. Returns 0.

    Raises InputError, before anything is written, for bad input.
    """
    factor = _noise_factor(noise_factor)
    page = None if no_check else check_path(out)
    _check_paths(source, out, page, force)
    loaded = open_model(model)
    blocks = read_blocks(source, genes_in)
    first = next(blocks)
    task = prepare_task(loaded, first, str(source), factor, transform, impute)
    write_blocks(task.denoised(chain([first], blocks)), out)
    print("\n".join([*_lines(task), f"denoised: {out}"]))
    if page is not None:
        from study.denoise.check import write_check

        verdict = write_check(page, task, source, out)
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
    """Write a model folder, an ONNX file or both, and print the choice. Returns 0."""
    if out is None and onnx is None:
        raise InputError(f"{source}: give --out FOLDER for a model folder, --onnx FILE, or both")
    if out is not None:
        check_target(out, force)
    if onnx is not None:
        from models.onnx import check_onnx, write_onnx

        check_onnx()
        check_file(onnx, force)
    model = open_model(source, member, reference, data)
    if out is not None:
        save_model(model, out, force)
        print(f"model: {out}  ({model.name}; its card: {out / 'README.md'})")
    if onnx is not None:
        write_onnx(model, onnx)
        print(f"onnx:  {onnx}")
    if out is not None:
        print(f"next:  python run_study.py denoise --model {out} IN OUT")
    return 0


def open_model(
    path: Path, member: str | None = None, reference: str | None = None, data: str | None = None
) -> Model:
    """Open a model folder, or choose a model of a run and print how it was chosen."""
    if is_model(path):
        if member or reference or data:
            raise InputError(
                f"{path}: is a model folder: --member, --reference and --data go with a run"
            )
        return load_model(path)
    if not (path / "config.json").is_file():
        return load_model(path)  # raises an error that names the missing file
    from study.denoise.export import best_model  # loads torch and scikit-learn

    model, lines = best_model(path, member, reference, data)
    for line in lines:
        print(line)
    return model


def check_path(out: Path) -> Path:
    """Return the path of OUT's check page: OUT without its ending, plus `.check.html`."""
    stem = out.with_suffix("") if out.suffix.lower() == ".gz" else out
    return stem.with_name(f"{stem.stem}.check.html")


def _noise_factor(text: str) -> float | None:
    """Parse --noise-factor: a number, or None for auto. Raises InputError for anything else."""
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
    """Raise InputError if a file does not exist, cannot be written, or would be lost."""
    if not source.exists():
        raise InputError(f"{source}: no such file: give the path of an expression file")
    format_of(out)
    for path in filter(None, (out, page)):
        if path.exists() and path.samefile(source):
            raise InputError(f"{out}: is IN itself: give another OUT")
        check_file(path, force)


def _lines(task: Task) -> list[str]:
    """Return lines for the screen that report what was done."""
    matched, missing = task.match.matched, task.missing
    n_samples, others = sum(map(len, task.noted)), task.n_genes - matched
    lines = [
        f"{n_samples:,} samples; {matched:,} of the model's genes found by {task.match.id_kind}"
    ]
    if others:
        lines.append(f"{others:,} genes that are not among the model's stay as they are")
    if missing:
        lines.append(
            f"{len(missing)} genes are missing, set to their training mean: {some(missing)}"
        )
    if task.transform != "none":
        lines.append(f"log2(x + 1) taken and undone: {task.transform_reason}")
    lines.append(f"noise factor {task.noise_factor:.3g}, {task.noise_source}")
    if task.left_alone:
        harm = "the model would do harm at so little noise"
        lines.append(
            f"nothing was changed: {'no noise was found' if not task.noise_factor else harm}"
        )
    elif task.relative_mse > 1 and task.noise_factor > 0:
        lines.append(
            "warning: at that noise factor the model is worse than leaving the data alone: "
            f"{task.relative_mse:.2g} times the MSE on its validation rows"
        )
    return lines
