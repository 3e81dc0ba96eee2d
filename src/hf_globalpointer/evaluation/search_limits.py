"""How far down all that a model could predict is looked for."""

# The probability below which a span is improbable, and no threshold is looked for.
FLOOR = 0.01
# The most spans of a window that are looked at: more than any trained model half believes in. It bounds the memory
# that an untrained one takes.
MAX_SPANS = 2**16
