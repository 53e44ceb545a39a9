"""Launch and supervise the processes of a training or an evaluation."""
