"""The ground floor: tools, calls, how they are written, read and checked."""
