"""Large annotation files: parsed once, stored as arrays, and mapped into memory by every process."""
