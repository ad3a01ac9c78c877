"""The paper's open questions, each answered from these runs, or with the command that would."""

from __future__ import annotations

from study.evidence.evidence import Evidence
from study.report.questions.bottleneck import bottleneck_question
from study.report.questions.cross_noise import cross_question
from study.report.questions.gene_order import order_question
from study.report.questions.mixed_noise import mixed_question
from study.report.questions.question import Question
from study.report.questions.samples import samples_question
from study.report.questions.sparsity import sparsity_question

ASKERS = (
    cross_question,
    mixed_question,
    sparsity_question,
    bottleneck_question,
    order_question,
    samples_question,
)


def open_questions(evidence: Evidence) -> list[Question]:
    """Return all open questions in the order of the page."""
    return [ask(evidence) for ask in ASKERS]
