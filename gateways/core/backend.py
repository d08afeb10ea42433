"""The waist: what every gateway offers the rest, whatever runs behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, Self, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

from gateways.core.errors import GatewayError

F32: TypeAlias = npt.NDArray[np.float32]
F16: TypeAlias = npt.NDArray[np.float16]
U32: TypeAlias = npt.NDArray[np.uint32]
TokenIds: TypeAlias = list[int]
Inputs: TypeAlias = Sequence[str | TokenIds]
Kind: TypeAlias = Literal["dense", "sparse", "rerank"]
Truncate: TypeAlias = Literal["END", "START", "NONE"]
Lane: TypeAlias = Literal["interactive", "bulk"]
# What has more tokens is no query: passes that long are what makes queries wait.
QUERY_TOKENS = 128
Span: TypeAlias = tuple[int, int]

# The precision of a model whose service does not tell it.
UNKNOWN_PRECISION = "upstream"

# sentence-transformers gives every model these two, empty unless the model says otherwise.
NO_PROMPTS = (("query", ""), ("document", ""))


class PassCost(NamedTuple):
    """
    What a forward pass costs, in tokens that it computes.

    `fixed` is what any pass costs, `padding` what a cell of padding does, `pair` what it takes to compare two cells
    of one row, padding or not: an attention compares all of them. `knee` is how many tokens of a pass are enough for
    it to be efficient; 0 where that was not measured, as on a CPU, where few are.
    """

    fixed: float
    padding: float
    pair: float
    knee: int = 0

    def cost_of_pass(self, rows: int, longest: int, tokens: int) -> float:
        """Return the cost of a pass over rows that hold so many tokens together."""
        return self.fixed + self.computed_tokens(rows, longest, tokens) + self.pair * rows * longest**2

    def computed_tokens(self, rows: int, longest: int, tokens: int) -> float:
        """Return the tokens that such a pass computes, padding as far as it is computed."""
        return tokens + self.padding * (rows * longest - tokens)


# A model that computes padding like everything else, and one that takes none of it through its weights: it is moved
# about, and compared. Fitted to MiniLM's passes on one core; between fp32 and int8, whose attention is not faster.
PADDED = PassCost(fixed=8, padding=1, pair=0)
UNPADDED = PassCost(fixed=8, padding=0.1, pair=1 / 1_000)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """
    What `/v1/models` tells of a model.

    `dimensions` is the length of a dense vector, the vocabulary of a sparse model, and 0 for a reranker. `frame`
    counts the special tokens before and after a text. `stands_in_for` names models of the catalogue that are not
    here and for which this one answers. `scores` says what a reranker's raw scores are, and `of` which dense model's
    tokens it compares, None where it reads pairs. `revision` names the version of the weights, `pooling` how a dense
    model makes one vector of many; None where nobody tells. `inference_time_ms` is one warm 16-token text,
    `pass_cost` what passes cost on this machine; None until first loaded. Without its weights, not `fetched`, a model
    is only told of, so that errors can say what would help.
    """

    id: str
    kind: Kind
    dimensions: int
    max_input_tokens: int
    languages: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    prompts: tuple[tuple[str, str], ...] = NO_PROMPTS
    precision: str = "fp32"
    device: str = "cpu"
    loaded: bool = True
    fetched: bool = True
    inference_time_ms: float | None = None
    pass_cost: PassCost | None = None
    frame: tuple[int, int] = (1, 1)
    scores: Literal["logits", "cosines"] = "logits"
    of: str | None = None
    stands_in_for: tuple[str, ...] = ()
    revision: str | None = None
    pooling: str | None = None


@dataclass(frozen=True, slots=True)
class EncodeOptions:
    """
    How a model reads inputs, and what of them it returns.

    `truncate` is the end at which a text over the model's length is cut; NONE raises InvalidRequest instead. `lane`
    is the queue, None chooses it by length. With `tokens`, `embed` returns token vectors too, from the same pass.
    """

    truncate: Truncate = "END"
    lane: Lane | None = None
    tokens: bool = False


DEFAULT_OPTIONS = EncodeOptions()


class SparseVector(NamedTuple):
    """The entries of a vector that are not zero: k indices, ascending, and their weights."""

    indices: U32
    values: F32


class Token(NamedTuple):
    """A token, and the characters of the text it stands for; a special one stands for none."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class TokenVectors(NamedTuple):
    """
    What late interaction compares: unit vectors, float16 (rows, dimensions), text by text, `counts` of each.

    Half precision everywhere, so that it makes no difference whether they travelled.
    """

    vectors: F16
    counts: Sequence[int]

    def by_text(self) -> list[F16]:
        """Return the vectors of each text, views."""
        return np.split(self.vectors, np.cumsum(self.counts)[:-1])

    def part(self, first: int, n: int) -> TokenVectors:
        """Return those of n texts from the `first` on, a view."""
        start, counts = sum(self.counts[:first]), self.counts[first : first + n]
        return TokenVectors(self.vectors[start : start + sum(counts)], counts)


class Times(TypedDict):
    """Timings by their names."""

    tokenize_ms: float
    queue_ms: float
    infer_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Where the time of a whole request went."""

    tokenize_ms: float = 0.0
    queue_ms: float = 0.0
    infer_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Embeddings(Timings):
    """
    Float32 (n, dimensions), pooled and *not* normalised; of `embed_tokens` one row for every token, text by text.

    `token_counts` are the n counts of tokens the model read, special ones included, after truncation. `tokens` is
    there when they were asked for.
    """

    vectors: F32
    token_counts: Sequence[int]
    tokens: TokenVectors | None = None


@dataclass(frozen=True, slots=True)
class SparseEmbeddings(Timings):
    """One sparse vector per text."""

    rows: Sequence[SparseVector]
    token_counts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Scores(Timings):
    """Float32 (n,): how well each document answers the query, as the model says it, greater is better."""

    values: F32
    token_counts: Sequence[int]


def lane_of(tokens: int) -> Lane:
    """Return the lane of a request with so many tokens."""
    return "bulk" if tokens > QUERY_TOKENS else "interactive"


class Backend(Protocol):
    """
    Text to vectors and scores. Entering it loads and warms the models; it serves from then on until it is left.

    `model` is an id of `models()`. All calls raise InvalidRequest, Overloaded, BackendUnavailable, UpstreamFailed,
    ModelFailed. An input that cannot be read is an InvalidInput with its index.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    def models(self) -> Sequence[ModelInfo]:
        """Return the models, the default of each kind before its others, unfetched ones last; empty until ready."""
        ...

    def ready(self) -> bool:
        """Say whether a request sent now would be served."""
        ...

    def failure(self) -> str | None:
        """Return what is broken for good, so that a restart is the cure; None while nothing is."""
        ...

    def refusal(self, within_s: float, before_bytes: int = 0) -> GatewayError | None:
        """
        Return what a query that may take so long would be refused with now, None where it would not be.

        It is told before any of it is read. Half of its time is for waiting. Bodies of so many bytes come before it,
        which do not wait yet.
        """
        ...

    async def embed(self, model: str, inputs: Inputs, options: EncodeOptions = DEFAULT_OPTIONS) -> Embeddings:
        """Embed n texts, or n lists of token ids, in the order given."""
        ...

    async def embed_tokens(self, model: str, inputs: Inputs, options: EncodeOptions = DEFAULT_OPTIONS) -> Embeddings:
        """Return the last hidden state of every token, special ones included: (sum of token_counts, dimensions)."""
        ...

    async def embed_sparse(
        self, model: str, inputs: Inputs, options: EncodeOptions = DEFAULT_OPTIONS
    ) -> SparseEmbeddings:
        """Weigh the vocabulary for n texts."""
        ...

    async def rerank(
        self, model: str, query: str, documents: Sequence[str], options: EncodeOptions = DEFAULT_OPTIONS
    ) -> Scores:
        """Score n documents: a cross-encoder's logits, or the mean over query tokens of the greatest cosine."""
        ...

    async def tokenize(self, model: str, texts: Sequence[str]) -> list[list[Token]]:
        """Return the tokens of n texts, special ones included, nothing cut off."""
        ...

    async def chunk(self, model: str, texts: Sequence[str], max_tokens: int, overlap: int) -> list[list[Span]]:
        """Cut n texts into chunks of at most `max_tokens`: (start, end) in characters, in order."""
        ...
