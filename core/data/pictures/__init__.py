"""One picture: from untrusted bytes to pixels, in child processes."""
