"""Groups of terminal commands, one file each; ``cli.py`` registers them."""
