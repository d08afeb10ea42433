"""How well each way of searching finds the passage that answers, beside what exact dense search would find."""

from __future__ import annotations

from bench import quality, verify
from bench.errors import BenchError
from bench.plan import Cell, Options
from bench.records import Row
from bench.session import Bench, Live
from bench.targets import Target
from bench.validity import TOLERANCES

HEADLINE = "hit@1, hit@5 and nDCG@10 of dense, hybrid and reranked search"
VERIFIED = True
# What a target must be capable of for a way of searching, and the most questions: a reranked one takes a second.
NEEDED = {"search": {"search"}, "search-hybrid": {"search", "hybrid"}, "search-reranked": {"search", "rerank"}}
MAX_QUESTIONS = {"search-reranked": 100}
REPORT_EVERY = 10


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """One for each way of searching the target has; none where there is no model to be good or bad."""
    if not target.ranked:
        return []
    ways = [route for route, needed in NEEDED.items() if needed <= set(target.capabilities)]
    return [Cell(block, target, "quality", route) for route in ways]


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """Ask the block's questions one by one; the reference's figures are for the same questions, searched densely."""
    if live is None:
        raise BenchError("quality runs against a verified server")
    profile, reference, row = bench.options.profile, bench.reference, bench.row(cell)
    drawn = verify.draw(reference, bench.seed(cell.block), profile.embedded, profile.searched).searched
    questions = drawn[: MAX_QUESTIONS.get(cell.route)]
    rankings: list[list[str]] = []
    for question in questions:
        rankings.append([hit.id for hit in live.api.search(question.text, quality.DEPTH, cell.route)])
        if len(rankings) % REPORT_EVERY == 0:
            bench.show.step(str(cell), len(rankings), len(questions))
    found = quality.measure(rankings, [question.relevant for question in questions])
    wanted = quality.of_reference(reference, questions)
    row.questions = len(questions)
    row.hit1, row.hit5, row.ndcg10 = found.hit1, found.hit5, found.ndcg10
    row.reference_hit1, row.reference_hit5, row.reference_ndcg10 = wanted.hit1, wanted.hit5, wanted.ndcg10
    gap = found.worst_gap_points(wanted)
    if not all(rankings):
        row.codes, row.reason = "E_EMPTY", f"{rankings.count([])} searches found nothing"
    elif cell.route == "search" and gap > TOLERANCES[cell.target.precision].quality_points:
        row.codes, row.reason = "E_WRONG", f"search finds {gap:.1f} points less than the reference"
    return [row]
