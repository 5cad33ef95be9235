"""Reports: runs, experiments and datasets as one HTML file, or as Markdown with pictures."""
