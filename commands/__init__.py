"""Commands of the terminal door, a file each; ``cli.py`` puts them together."""
