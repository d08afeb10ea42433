"""Tests of one dialect against any server. Each test is a row of the matrix; its docstring names the behaviour."""
