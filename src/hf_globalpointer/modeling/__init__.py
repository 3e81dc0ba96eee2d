"""Everything a checkpoint needs to run: flat modules that import each other by `from .x import` only."""
