"""One run as it is now: what it does, its curves, and what it reached once it has ended."""



ACTIVE = ("queued", "starting", "running")
BADGES = {
    "queued": ("Waiting", ":material/schedule:", "gray"),
    "starting": ("Starting", "spinner", "blue"),
    "running": ("Training", "spinner", "blue"),
    "done": ("Done", ":material/check:", "green"),
    "stopped": ("Stopped", ":material/stop_circle:", "orange"),
    "failed": ("Failed", ":material/error:", "red"),
    "lost": ("Lost", ":material/power_off:", "red"),
}
