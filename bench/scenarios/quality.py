"""Retrieval quality of each search mode, beside exact dense search over the reference's vectors."""

from __future__ import annotations

from bench.measurement.plan import Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.refusal_codes import TOLERANCES
from bench.records.runs_csv import Row
from bench.targets import Target
from bench.verification import ranking_metrics, verify

HEADLINE = "hit@1, hit@5 and nDCG@10 of dense, hybrid and reranked search"
# The capabilities that each route needs, and the maximum number of questions: a reranked search takes a second.
NEEDED = {"search": {"search"}, "search-hybrid": {"search", "hybrid"}, "search-reranked": {"search", "rerank"}}
MAX_QUESTIONS = {"search-reranked": 100}
REPORT_EVERY = 10


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return one cell per search mode of the target; [] for a target that is not ranked."""
    if not target.ranked:
        return []
    routes = [route for route, needed in NEEDED.items() if needed <= set(target.capabilities)]
    return [Cell(block, target, "quality", route) for route in routes]


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """Search the block's questions one by one. The reference columns are dense search for the same questions."""
    profile, reference, row = bench.options.profile, bench.reference, bench.row(cell)
    sample = verify.draw_sample(reference, bench.seed(cell.block), profile.embedded, profile.searched)
    questions = sample.searched[: MAX_QUESTIONS.get(cell.route)]
    rankings: list[list[str]] = []
    for question in questions:
        rankings.append([hit.id for hit in session.api.search(question.text, ranking_metrics.DEPTH, cell.route)])
        if len(rankings) % REPORT_EVERY == 0:
            bench.show.step(str(cell), len(rankings), len(questions))
    quality = ranking_metrics.measure(rankings, [question.relevant for question in questions])
    expected = ranking_metrics.measure_reference(reference, questions)
    row.questions = len(questions)
    row.hit1, row.hit5, row.ndcg10 = quality.hit1, quality.hit5, quality.ndcg10
    row.reference_hit1, row.reference_hit5, row.reference_ndcg10 = expected.hit1, expected.hit5, expected.ndcg10
    gap = quality.worst_gap_points(expected)
    if not all(rankings):
        row.codes, row.reason = "E_EMPTY", f"{rankings.count([])} searches returned no result"
    elif cell.route == "search" and gap > TOLERANCES[cell.target.precision].quality_points:
        row.codes, row.reason = "E_WRONG", f"search finds {gap:.1f} points less than the reference"
    return [row]
