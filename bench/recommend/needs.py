"""The requirements of a recommendation: a rate, latency limits, and the size and price of a machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.errors import BenchError

HEADROOM = 0.7
COLUMNS = {"p95_ms": "p95", "p99_ms": "p99"}


@dataclass(frozen=True)
class Needs:
    """
    `rps` requests a second of a route, with each percentile of `limits` (p95_ms, p99_ms) below its milliseconds.

    `headroom` is the share of a measured capacity that a plan uses. One machine has `ram_gib` GiB and `vcpu` cores,
    and an hour of it costs `price_hour`, or `gpu_price_hour` if it has a GPU. None means not specified.
    """

    rps: float
    limits: Mapping[str, float]
    route: str = "search"
    headroom: float = HEADROOM
    ram_gib: float | None = None
    vcpu: float | None = None
    price_hour: float | None = None
    gpu_price_hour: float | None = None

    def check(self) -> None:
        """Raise BenchError for a number out of range, or a price without a machine size."""
        positive = {"--rps": self.rps, "--ram-gb": self.ram_gib, "--vcpu": self.vcpu, "--price-hour": self.price_hour}
        positive |= {"--gpu-price-hour": self.gpu_price_hour}
        positive |= {f"--{COLUMNS[column]}-ms": limit for column, limit in self.limits.items()}
        wrong = [f"{option} {value:g}" for option, value in positive.items() if value is not None and value <= 0]
        if not 0 < self.headroom <= 1:
            wrong.append(f"--headroom {self.headroom:g} (a share: more than 0, at most 1)")
        if wrong:
            raise BenchError(f"not possible: {', '.join(wrong)}")
        if self.price_hour is not None and self.vcpu is None:
            raise BenchError(
                "--price-hour is that of a machine: say its cores too (--vcpu), and its memory (--ram-gb)"
            )

    def __str__(self) -> str:
        limits = " and ".join(f"{COLUMNS[column]} ≤ {limit:g} ms" for column, limit in self.limits.items())
        noun = {"search": "searches", "embeddings": "embeddings"}.get(self.route, f"{self.route} requests")
        return f"{self.rps:,.0f} {noun} a second with {limits}"
