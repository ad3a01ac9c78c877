"""The paper's open questions, each answered from the numbers of these runs, or with the command that would."""

from __future__ import annotations

from study.evidence.evidence import Evidence
from study.report.questions.bottleneck import bottleneck_question
from study.report.questions.guess import cross_question
from study.report.questions.mixture import mixed_question
from study.report.questions.order import order_question
from study.report.questions.question import Question
from study.report.questions.samples import samples_question
from study.report.questions.sparsity import sparsity_question

__all__ = ["Question", "open_questions"]


def open_questions(evidence: Evidence) -> list[Question]:
    """Noise across levels, mixed noise, sparsity, code size, order of the genes, number of samples: all, in order."""
    askers = (
        *(cross_question, mixed_question, sparsity_question),
        *(bottleneck_question, order_question, samples_question),
    )
    return [ask(evidence) for ask in askers]
