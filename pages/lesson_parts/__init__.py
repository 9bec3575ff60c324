"""The lessons: one file each, with what it asks, what it runs and how it explains what came out."""
