"""Exported models at work, without torch and Transformers."""
