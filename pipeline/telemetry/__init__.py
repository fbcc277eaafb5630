"""What a process tells about its work: lines of its log, traces and metrics."""
