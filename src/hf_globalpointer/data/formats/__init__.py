"""File formats of labeled text, one file a format: its reader, and its writer if it has one."""
