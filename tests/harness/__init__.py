"""Tests of the harness with deliberately broken gateways: real processes behind a proxy that spoils answers."""
