"""The paper's open questions, each answered from the numbers of these runs, or with the command that would."""

from __future__ import annotations

from study.evidence import Evidence
from study.question import Question
from study.question_guess import cross_question
from study.question_mixture import mixed_question
from study.question_order import order_question
from study.question_samples import samples_question
from study.question_sparsity import sparsity_question

__all__ = ["Question", "open_questions"]


def open_questions(evidence: Evidence) -> list[Question]:
    """Noise across levels, mixed noise, sparsity, order of the genes, number of samples: in this order, all of them."""
    askers = (cross_question, mixed_question, sparsity_question, order_question, samples_question)
    return [ask(evidence) for ask in askers]
