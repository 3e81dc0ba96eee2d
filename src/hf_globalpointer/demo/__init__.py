"""The demo app: texts in, entities shown, in a browser."""
