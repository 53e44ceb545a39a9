"""Cache large annotation files: parse a file once, store arrays on disk, and memory-map the arrays in each process."""
