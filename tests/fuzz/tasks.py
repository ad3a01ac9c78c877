"""What is done with an input in the process of tests/fuzz/child.py. Not a test itself."""

import contextlib
import io
import json
import resource

import anndata.io
import pyarrow.csv
import pyarrow.dataset
import torch

from data_utils.errors import InputError
from data_utils.expression import check_expression
from data_utils.formats.registry import read_expression
from data_utils.genes import landmark_table
from data_utils.sources import load_dataset
from models.config import MemberConfig
from run_study import main
from study.evidence.evidence import load_evidence
from study.grids import Narrowing, own_grid
from study.report import folder
from study.run.folder import RunFolder

LOADED = (anndata.io, pyarrow.csv, pyarrow.dataset, folder)  # before the memory is bounded
torch.set_num_threads(1)
landmark_table()


def read(path, genes_in):
    """(values, sample ids, gene ids, rows of both label tables, what check_expression reports)."""
    matrix = read_expression(path, genes_in)
    try:
        check_expression(matrix, str(path))
        said = None
    except InputError as error:
        said = str(error)
    labels = (len(matrix.sample_labels), len(matrix.gene_labels))
    return matrix.values, matrix.sample_ids.tolist(), matrix.gene_ids.tolist(), labels, said


def dataset(path, genes_in, all_genes):
    """The values that a study of the file has, whatever scale is chosen."""
    return load_dataset(str(path), genes_in=genes_in, all_genes=all_genes).matrix.values


def growth(path, genes_in):
    """MB by which the process's peak memory grew while it read the file, and the refusal."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        read_expression(path, genes_in)
        said = None
    except InputError as error:
        said = str(error)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, said


def config(content):
    """The member's name, and whether a passage through JSON leaves it as it is."""
    member = MemberConfig.from_dict(content)
    again = MemberConfig.from_dict(json.loads(json.dumps(member.as_dict())))
    network = member.architecture
    return member.member_id, again.member_id, member.run_name, member.epochs, network.name


def grid(spec):
    """How many members a user's own grid has."""
    return len(own_grid(spec, Narrowing()))


def loaded(path, pack_id, member_id):
    """Everything that a resumed run reads of its folder, by name; None if it is not readable."""
    folder = RunFolder(path)
    found = {"checkpoint": folder.load_checkpoint(pack_id), "packs": folder.checkpointed_packs()}
    for name in ("config.json", "plan.json"):
        found[name] = _or_none(lambda name=name: folder.read_json(name))
    found["model"] = _or_none(lambda: folder.load_model(member_id))
    found["part"] = folder.part(pack_id)
    found["finished"] = folder.finished_members()["member_id"].tolist()
    found["said"] = folder.drop_damaged()
    found["left"] = folder.finished_members()["member_id"].tolist()
    return found


def _or_none(read):
    try:
        return read()
    except InputError:
        return None


def evidence(path):
    """Rows of the tables of a run."""
    found = load_evidence([path])
    return len(found.members), len(found.levels), len(found.across), len(found.references)


def command(words):
    """The command line's exit status, and what it printed to the error stream."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        status = main(words)
    return status, errors.getvalue()


TASKS = {
    task.__name__: task for task in (read, dataset, growth, config, grid, loaded, evidence, command)
}
