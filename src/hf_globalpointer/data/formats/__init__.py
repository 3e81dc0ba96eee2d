"""File formats of labeled text, one file a format: its reader, and its writer if it has one.

A new format is a new file here, an entry in `reading.FORMATS` and, if it is written too, in `writing.WRITERS`;
`detection` tells it from the others by its content.
"""
