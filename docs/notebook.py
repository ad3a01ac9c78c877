"""Run a notebook, and write it with what it printed and drew as a page of the site.

python docs/notebook.py docs/notebooks/own_data.ipynb   # own_data.md and its pictures, next to it
"""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 600  # seconds a cell may take


def run_notebook(path: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs; the file stays as it is. An error in a cell is raised."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=LONGEST, resources={"metadata": {"path": str(ROOT)}}).execute()
    return notebook


def write_page(notebook: nbformat.NotebookNode, page: Path) -> None:
    """Markdown of the cells, each with its outputs; pictures become files beside `page`."""
    parts = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            parts.append(
                _shown(
                    output,
                    page.with_name(f"{page.stem}-{number}.png"),
                    cell.metadata.get("alt", ""),
                )
            )
    page.write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")


def _shown(output: nbformat.NotebookNode, picture: Path, alt: str) -> str:
    """An output as Markdown; `alt` says what a picture shows."""
    if output.output_type == "stream":
        return f"```text\n{output.text.rstrip()}\n```" if output.name == "stdout" else ""
    if "image/png" in output.data:
        picture.write_bytes(base64.b64decode(output.data["image/png"]))
        return f"![{alt}]({picture.name})"
    return f"```text\n{output.data['text/plain']}\n```"


if __name__ == "__main__":
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # as run_study.py does: threads wait for each other on a busy machine
    source = Path(sys.argv[1])
    write_page(run_notebook(source), source.with_suffix(".md"))
