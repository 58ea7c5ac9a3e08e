"""Will it fit: programs compiled for chips that are not attached."""
