"""One dialect, held against any server: each test is a row of the matrix, its docstring the behaviour."""
