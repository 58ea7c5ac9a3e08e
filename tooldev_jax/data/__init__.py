"""From sources to exact token streams: examples, views, encoding, packing."""
