"""Cache of large annotation files, which are parsed once, stored as arrays and memory-mapped by every process."""
