"""One module per group of commands; app.py imports the one that was named."""
