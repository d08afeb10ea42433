"""A plan as an override of docker-compose.yml: replicas, memory, precision and threads as they were measured."""

from __future__ import annotations

import math

from bench.recommend.plans import Plan

ROOM, STEP_MIB = 1.25, 64
MODELS = """\
      - type: bind
        source: ./models
        target: /models
        read_only: true"""


def services(plan: Plan) -> dict[str, str]:
    """The service of docker-compose.yml for each role: the front door has the shape's name."""
    *_, front = plan.roles
    shape = plan.shape.target.partition("-")[0]
    return {role: shape if role == front else role for role in plan.roles}


def override(plan: Plan) -> str:
    """
    The YAML of a file to lay over docker-compose.yml.

    A limit is the peak that was measured and a quarter more. Several front doors get a port each, for a load balancer
    before them, and a data folder each, since an index belongs to one process.
    """
    named = services(plan)
    profile = named[list(named)[-1]]
    lines = [
        f"# docker compose -f docker-compose.yml -f override.yml --profile {profile} up --build --wait",
        "services:",
    ]
    for role, number in plan.roles.items():
        runs_model = len(plan.roles) == 1 or role != list(plan.roles)[-1]
        lines += [f"  {named[role]}:"]
        if runs_model:
            lines += ["    environment:", f"      PRECISION: {plan.shape.precision}"]
            lines += [f'      THREADS: "{plan.shape.cores}"']
        if named[role] == profile and number > 1:
            lines += ["    ports: !override", f"      - 127.0.0.1:8000-{8000 + number - 1}:8000"]
            lines += ["    volumes: !override", *([MODELS] if runs_model else []), "      - /data"]
        lines += ["    deploy:", f"      replicas: {number}", "      resources:"]
        lines += ["        limits:", f"          memory: {_limit(plan.shape.peak_mib[role])}m"]
        lines += ["        reservations:", f"          memory: {math.ceil(plan.shape.pss_mib[role])}m"]
    return "\n".join(lines) + "\n"


def _limit(peak_mib: float) -> int:
    return STEP_MIB * math.ceil(peak_mib * ROOM / STEP_MIB)
