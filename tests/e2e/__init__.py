"""Black-box tests: real processes, real files, real sockets."""
