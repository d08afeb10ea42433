"""A plan as an override of docker-compose.yml, with the measured replicas, memory, precision and threads."""

from __future__ import annotations

import math
import re

from bench.machine.device_names import SEPARATOR
from bench.recommend.plans import Plan

ROOM, STEP_MIB = 1.25, 64
MODELS = """\
      - type: bind
        source: ./models
        target: /models
        read_only: true"""
GPU = """\
          devices:
            - driver: nvidia
              count: 1
              capabilities: [gpu]"""


def services(plan: Plan) -> dict[str, str]:
    """Return the service of docker-compose.yml for each role; the front is named after the shape."""
    *_, front = plan.roles
    shape = re.split(f"[-{SEPARATOR}]", plan.shape.target)[0]
    return {role: shape if role == front else role for role in plan.roles}


def override(plan: Plan) -> str:
    """
    Return the YAML of a compose override.

    A memory limit is 1.25 times the measured peak. Several fronts get a port each, for a load balancer, and a data
    folder each, because an index belongs to one process. For a GPU shape the override is for one machine of the plan,
    with one card and one replica.
    """
    names, gpu = services(plan), plan.shape.gpu
    profile = names[list(names)[-1]]
    lines = [f"# docker compose -f docker-compose.yml -f override.yml --profile {profile} up --build --wait"]
    lines += [f"# on each of {plan.replicas} machines with a GPU"] * (gpu and plan.replicas > 1)
    lines += ["services:"]
    for role, number in (dict.fromkeys(plan.roles, 1) if gpu else plan.roles).items():
        runs_model = len(plan.roles) == 1 or role != list(plan.roles)[-1]
        lines += [f"  {names[role]}:"]
        if runs_model:
            lines += ["    environment:", f"      PRECISION: {plan.shape.precision}"]
            lines += [f'      THREADS: "{plan.shape.cores}"', *(["      DEVICE: cuda"] if gpu else [])]
        if names[role] == profile and number > 1:
            lines += ["    ports: !override", f"      - 127.0.0.1:8000-{8000 + number - 1}:8000"]
            lines += ["    volumes: !override", *([MODELS] if runs_model else []), "      - /data"]
        lines += ["    deploy:", f"      replicas: {number}", "      resources:"]
        lines += ["        limits:", f"          memory: {_round_limit(plan.shape.peak_mib[role])}m"]
        lines += ["        reservations:", f"          memory: {math.ceil(plan.shape.pss_mib[role])}m"]
        lines += [GPU] if gpu and runs_model else []
    return "\n".join(lines) + "\n"


def _round_limit(peak_mib: float) -> int:
    return STEP_MIB * math.ceil(peak_mib * ROOM / STEP_MIB)
