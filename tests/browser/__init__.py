"""The page and its live library in Debian's Chromium, on a real server and real files."""
