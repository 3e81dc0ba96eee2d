"""Where the command `hf-globalpointer` begins.

A module beside the package, so that the package can tell that it need not load Transformers to register its models:
commands and their help come up at once, and a command that loads a model registers them then.
"""

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; interrupted at any time, it ends without a traceback."""
    try:
        from hf_globalpointer.cli import main as run

        run(arguments)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
