"""What all rooms use: names of arrays, threads, files, memory, progress."""
