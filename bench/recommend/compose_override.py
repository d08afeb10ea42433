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

    A memory limit is 1.25 times the measured peak. Each of several fronts is a service with a port, for a load
    balancer, and a named volume, because an index belongs to one process and outlives its container. The first one
    keeps the volume that it has. For a GPU shape the override is for one machine of the plan, with one card and one
    replica.
    """
    names, gpu = services(plan), plan.shape.gpu
    front = names[list(names)[-1]]
    lines = [f"# docker compose -f docker-compose.yml -f override.yml --profile {front} up --build --wait"]
    lines += [f"# on each of {plan.replicas} machines with a GPU"] * (gpu and plan.replicas > 1)
    lines += ["services:"]
    volumes: list[str] = []
    for role, count in (dict.fromkeys(plan.roles, 1) if gpu else plan.roles).items():
        if names[role] != front:
            lines += [f"  {names[role]}:", *_options(plan, role, count)]
            continue
        lines += [f"  {front}:", *_options(plan, role, 1)]
        for number in range(2, count + 1):
            volumes += [f"{front}-{number}-data"]
            lines += [f"  {front}-{number}:", f"    extends: {{file: docker-compose.yml, service: {front}}}"]
            lines += ["    ports: !override", f"      - 127.0.0.1:{7999 + number}:8000"]
            models = [MODELS] if _runs_model(plan, role) else []
            lines += ["    volumes: !override", *models, f"      - {volumes[-1]}:/data"]
            lines += _options(plan, role, 1)
    lines += ["volumes:"] * bool(volumes) + [f"  {volume}:" for volume in volumes]
    return "\n".join(lines) + "\n"


def _options(plan: Plan, role: str, replicas: int) -> list[str]:
    """Return the lines of a service: its settings, replicas and resources."""
    runs_model, gpu = _runs_model(plan, role), plan.shape.gpu
    lines = []
    if runs_model:
        lines += ["    environment:", f"      PRECISION: {plan.shape.precision}"]
        lines += [f'      THREADS: "{plan.shape.cores}"', *(["      DEVICE: cuda"] if gpu else [])]
    lines += ["    deploy:", f"      replicas: {replicas}", "      resources:"]
    lines += ["        limits:", f"          memory: {_round_limit(plan.shape.peak_mib[role])}m"]
    lines += ["        reservations:", f"          memory: {math.ceil(plan.shape.pss_mib[role])}m"]
    return lines + ([GPU] if gpu and runs_model else [])


def _runs_model(plan: Plan, role: str) -> bool:
    return len(plan.roles) == 1 or role != list(plan.roles)[-1]


def _round_limit(peak_mib: float) -> int:
    return STEP_MIB * math.ceil(peak_mib * ROOM / STEP_MIB)
