"""Background jobs: work in a process of its own that outlives the page which asked for it."""
