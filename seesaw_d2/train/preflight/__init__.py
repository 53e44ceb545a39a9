"""Check a training or an evaluation before the program computes or writes anything."""
